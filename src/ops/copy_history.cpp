#include "ops/copy_history.hpp"

#include <charconv>
#include <string_view>

namespace cobuild::ops {

namespace {

/// Which layer is the last copy.
constexpr std::string_view kTable = "copy-history";
constexpr std::size_t kPartBytes = store::Store::kNoteBytesMax;

/// A number at the start of a note.
[[nodiscard]] std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The note of a layer with a part of its ledger. A part that is not full is the last one.
[[nodiscard]] std::string part_name(std::size_t part) {
  return "copy-ledger#" + std::to_string(part);
}

}  // namespace

CopyHistory::CopyHistory(store::Store& store, const Digest& vertex, const FileTree::Entry& context,
                         const store::LayerChain& base)
    : store_(store) {
  std::string text = vertex.to_string() + "," + std::to_string(context.device) + ":" +
                     std::to_string(context.inode);
  for (store::LayerId const id : base) text += "," + std::to_string(id.value);
  key_ = Digest::of(text).hex();
}

Task<std::optional<FormerCopy>> CopyHistory::find() const {
  std::optional<std::string> const head = store_.get_note(kTable, key_);
  std::optional<std::int64_t> const id = head ? parse_number(*head) : std::nullopt;
  if (!id) co_return std::nullopt;
  FormerCopy former{.layer = store::LayerId{*id}, .ledger = {}};
  store::LayerChain const chain(1, former.layer);
  if (!co_await store_.use(chain) || !store_.get_layer(former.layer).has_snapshot) {
    co_return std::nullopt;
  }
  for (std::size_t part = 0;; ++part) {
    std::optional<std::string> const text = store_.get_layer_note(former.layer, part_name(part));
    if (!text) co_return std::nullopt;
    former.ledger += *text;
    if (text->size() < kPartBytes) co_return former;
  }
}

void CopyHistory::save(store::LayerId layer, const std::string& ledger) const {
  if (std::optional<std::string> const head = store_.get_note(kTable, key_)) {
    store::LayerId const former{parse_number(*head).value_or(0)};
    for (std::size_t part = 0; store_.get_layer_note(former, part_name(part)); ++part) {
      store_.drop_layer_note(former, part_name(part));
    }
  }
  for (std::size_t part = 0; part * kPartBytes <= ledger.size(); ++part) {
    store_.put_layer_note(layer, part_name(part),
                          std::string_view(ledger).substr(part * kPartBytes, kPartBytes));
  }
  store_.put_note(kTable, key_, std::to_string(layer.value));
}

}  // namespace cobuild::ops
