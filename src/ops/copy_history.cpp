#include "ops/copy_history.hpp"

#include <algorithm>
#include <charconv>

namespace cobuild::ops {

namespace {

constexpr std::string_view kTable = "copy-ledger";
constexpr std::size_t kPartBytes = store::Store::kNoteBytesMax;

/// A number at the start of a note.
[[nodiscard]] std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

CopyHistory::CopyHistory(store::Store& store, const Digest& vertex, const store::LayerChain& base)
    : store_(store) {
  std::string text = vertex.to_string();
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
  // The parts carry the layer's number, so that those of another copy are never taken for its own.
  std::string const prefix = key_ + "#" + *head + "#";
  for (std::size_t part = 0;; ++part) {
    std::optional<std::string> const text = store_.get_note(kTable, prefix + std::to_string(part));
    if (!text) co_return std::nullopt;
    former.ledger += *text;
    if (text->size() < kPartBytes) co_return former;
  }
}

void CopyHistory::save(store::LayerId layer, const std::string& ledger) const {
  std::string const number = std::to_string(layer.value);
  std::string const prefix = key_ + "#" + number + "#";
  for (std::size_t part = 0; part * kPartBytes <= ledger.size(); ++part) {
    store_.put_note(kTable, prefix + std::to_string(part),
                    std::string_view(ledger).substr(part * kPartBytes, kPartBytes));
  }
  store_.put_note(kTable, key_, number);
}

}  // namespace cobuild::ops
