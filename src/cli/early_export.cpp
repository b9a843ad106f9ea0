#include "cli/early_export.hpp"

#include <algorithm>
#include <utility>

#include "cli/export_options.hpp"
#include "cli/exporting.hpp"
#include "cli/image_push.hpp"
#include "core/base/error.hpp"
#include "oci/export_index.hpp"
#include "oci/push_image.hpp"

namespace cobuild::cli {

namespace {

/// How the layers of an output will be sealed, if that is known before all is built: not for files,
/// nor when it depends on what they come to lie on.
std::optional<ops::SealRequest> early_request(const OutputOptions& output,
                                              const ExportOptions& options) {
  bool const is_tree = output.type == "local" || output.type == "tar";
  if (is_tree || options.rewrite_timestamp || options.squash != Squash::kNone) return std::nullopt;
  ops::SealRequest request = options.seal;
  request.leave_remote = true;  // Whoever needs such a layer's blob fetches it.
  return request;
}

}  // namespace

InternalStep& StepWhenNeeded::step() {
  if (!step_) step_.emplace(sink_, name_);
  return *step_;
}

void StepWhenNeeded::done() {
  if (step_) step_->done();
  step_.reset();
}

std::unique_ptr<EarlyExport> EarlyExport::make(const BuildOptions& options, Workspace& workspace,
                                               progress::Sink& progress) {
  std::vector<Plan> plans;
  auto const plan_for = [&plans](const ops::SealRequest& request) -> Plan& {
    auto const same = [&request](const Plan& plan) { return plan.request == request; };
    auto const found = std::ranges::find_if(plans, same);
    return found != plans.end() ? *found : plans.emplace_back(Plan{request, {}});
  };
  for (const OutputOptions& output : options.outputs) {
    ExportOptions const parsed = parse_export_options(output);
    std::optional<ops::SealRequest> const request = early_request(output, parsed);
    if (!request) continue;
    Plan& plan = plan_for(*request);
    if (output.type == "image" && parsed.push.push) plan.pushes.push_back(parsed.push);
  }
  auto const is_tree = [](const OutputOptions& output) {
    return output.type == "local" || output.type == "tar";
  };
  if (wants_image_id(options) && std::ranges::all_of(options.outputs, is_tree)) {
    ops::SealRequest request;
    request.leave_remote = true;
    plan_for(request);
  }
  if (plans.empty()) return nullptr;
  return std::unique_ptr<EarlyExport>(new EarlyExport(std::move(plans), workspace, progress));
}

EarlyExport::EarlyExport(std::vector<Plan> plans, Workspace& workspace, progress::Sink& progress)
    : plans_(std::move(plans)),
      workspace_(workspace),
      step_(progress, "[internal] exporting finished layers"),
      uploads_(workspace.runtime.loop().get_executor(), oci::kLayerPushesMax),
      sealer_(
          workspace.runtime.loop().get_executor(), *workspace.store, workspace.fetcher,
          requests(plans_),
          [this](store::LayerId id, std::size_t plan, oci::ImageLayer layer) {
            return push(id, plan, std::move(layer));
          },
          step_) {}

std::vector<ops::SealRequest> EarlyExport::requests(const std::vector<Plan>& plans) {
  std::vector<ops::SealRequest> requests;
  for (const Plan& plan : plans) requests.push_back(plan.request);
  return requests;
}

Task<void> EarlyExport::join() {
  co_await sealer_.join();
  step_.done();
}

Task<void> EarlyExport::stop() {
  co_await sealer_.stop();
  step_.done();
}

Task<void> EarlyExport::push(store::LayerId id, std::size_t plan, oci::ImageLayer layer) {
  // What is elsewhere is perhaps there already; if not, fetching it is not worth the steps'
  // network.
  if (!workspace_.store->has_blob(layer.blob_digest)) co_return;
  auto const blob = oci::describe(layer.media_type, layer.blob_digest,
                                  static_cast<std::uint64_t>(layer.blob_bytes));
  for (const PushOptions& options : plans_[plan].pushes) {
    auto const slot = co_await uploads_.acquire();
    if (has_failed_) co_return;
    try {
      co_await push_layer(options, blob, id, workspace_, step_);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kCancelled) has_failed_ = true;
      throw;
    }
  }
}

}  // namespace cobuild::cli
