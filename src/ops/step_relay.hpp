#pragma once

#include <string_view>

#include "core/solve/op.hpp"

namespace cobuild::ops {

/// Progress of work that several steps wait for goes to the one that asked first, for as long as that
/// one is there.
class StepRelay final : public solve::StepSink {
 public:
  void log(int stream, std::string_view data) override {
    if (target_ != nullptr) target_->log(stream, data);
  }
  void status(std::string_view id, std::int64_t current, std::int64_t total, bool done) override {
    if (target_ != nullptr) target_->status(id, current, total, done);
  }
  void warn(std::string_view text) override {
    if (target_ != nullptr) target_->warn(text);
  }

  /// Attaches a step while it lives, unless another one is attached.
  class Attachment {
   public:
    Attachment(StepRelay& relay, solve::StepSink& step) : relay_(relay), ours_(relay.target_ == nullptr) {
      if (ours_) relay_.target_ = &step;
    }
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;
    ~Attachment() {
      if (ours_) relay_.target_ = nullptr;
    }

   private:
    StepRelay& relay_;
    bool ours_;
  };

 private:
  solve::StepSink* target_ = nullptr;
};

}  // namespace cobuild::ops
