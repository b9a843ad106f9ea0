#include "cli/when_needed.hpp"

#include <utility>

namespace cobuild::cli {
namespace {

class LateSnapshotter final : public store::Snapshotter {
 public:
  explicit LateSnapshotter(std::function<std::unique_ptr<store::Snapshotter>()> make)
      : make_(std::move(make)) {}

  [[nodiscard]] std::string_view name() const override { return get().name(); }
  [[nodiscard]] std::unique_ptr<store::View> view(
      std::vector<std::filesystem::path> lowers) override {
    return get().view(std::move(lowers));
  }
  [[nodiscard]] std::unique_ptr<store::View> edit(std::vector<std::filesystem::path> lowers,
                                                  const store::NewLayer& upper) override {
    return get().edit(std::move(lowers), upper);
  }

 private:
  store::Snapshotter& get() const {
    std::lock_guard const lock(mutex_);
    if (!made_) made_ = make_();
    return *made_;
  }

  std::function<std::unique_ptr<store::Snapshotter>()> make_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<store::Snapshotter> made_;
};

class LateRuntime final : public ops::ContainerRuntime {
 public:
  using Make = std::function<std::unique_ptr<ops::ContainerRuntime>(const store::NewLayer&)>;
  LateRuntime(store::Store& store, Make make) : store_(store), make_(std::move(make)) {}

  [[nodiscard]] std::string_view name() const override { return get().name(); }
  std::string take_limits_warning(const ops::ContainerSpec& spec) override {
    return get().take_limits_warning(spec);
  }
  Task<ops::ExitStatus> run(ops::ContainerSpec spec, ops::OutputCallback output) override {
    return get().run(std::move(spec), std::move(output));
  }

 private:
  ops::ContainerRuntime& get() const {
    if (!made_) {
      scratch_.emplace(store_.new_layer());
      made_ = make_(*scratch_);
    }
    return *made_;
  }

  store::Store& store_;
  Make make_;
  mutable std::optional<store::NewLayer> scratch_;
  mutable std::unique_ptr<ops::ContainerRuntime> made_;  ///< Goes before the directory.
};

}  // namespace

std::unique_ptr<store::Snapshotter> make_when_needed(
    std::function<std::unique_ptr<store::Snapshotter>()> make) {
  return std::make_unique<LateSnapshotter>(std::move(make));
}

std::unique_ptr<ops::ContainerRuntime> make_when_needed(
    store::Store& store,
    std::function<std::unique_ptr<ops::ContainerRuntime>(const store::NewLayer&)> make) {
  return std::make_unique<LateRuntime>(store, std::move(make));
}

}  // namespace cobuild::cli
