#include "core/store/key_index.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/base/timings.hpp"
#include "core/store/store_impl.hpp"

namespace cobuild::store {

std::optional<KeyId> KeyIndex::find_root(Digest op) {
  Timings::Span const span(Phase::kProbe);
  Store::Impl& impl = store_.impl();
  std::optional<std::int64_t> id;
  impl.for_each_pending([&](const PendingRows& rows) {
    if (auto found = rows.find_root(op)) id = found;
  });
  if (id) return KeyId{*id};
  Query row = impl.reader.query("SELECT id FROM keys WHERE op = ? AND root = 1", {to_value(op)});
  if (!row.next()) return std::nullopt;
  return KeyId{row.integer(0)};
}

std::vector<KeyId> KeyIndex::follow(KeyId from, const KeyLink& link) {
  Timings::Span const span(Phase::kProbe);
  Store::Impl& impl = store_.impl();
  std::int64_t const id = impl.resolve(from.value);
  std::vector<KeyId> out;
  if (id > 0) {
    Query rows = impl.reader.query(
        "SELECT target FROM links WHERE source = ? AND input = ? AND op = ? AND selector = ?",
        {id, link.input, to_value(link.op),
         link.selector ? to_value(*link.selector) : Value(BlobValue{""})});
    while (rows.next()) out.push_back({rows.integer(0)});
  }
  impl.for_each_pending([&](const PendingRows& rows) { rows.follow(id, link, out); });
  return out;
}

std::vector<KeyResult> KeyIndex::results(KeyId key) {
  Timings::Span const span(Phase::kProbe);
  Store::Impl& impl = store_.impl();
  std::int64_t const id = impl.resolve(key.value);
  std::vector<KeyResult> out;
  bool dropped = false;
  impl.for_each_pending([&](const PendingRows& rows) {
    if (rows.has_dropped(id)) {
      dropped = true;
      out.clear();  // what earlier batches added
    }
    rows.results(id, out);
  });
  if (id > 0 && !dropped) {
    Query rows =
        impl.reader.query("SELECT chain, created_at, ingredients FROM results WHERE key = ?", {id});
    while (rows.next()) {
      KeyResult result{parse_chain(rows.text(0)), to_timestamp(rows.integer(1)), rows.text(2)};
      bool const known = std::any_of(out.begin(), out.end(), [&](const KeyResult& other) {
        return other.chain == result.chain;
      });
      if (!known) out.push_back(std::move(result));
    }
  }
  std::sort(out.begin(), out.end(), [](const KeyResult& a, const KeyResult& b) {
    return std::tie(b.created_at, b.chain) < std::tie(a.created_at, a.chain);
  });
  return out;
}

std::vector<KeyIndex::RootLink> KeyIndex::root_links(KeyId key) {
  Store::Impl& impl = store_.impl();
  std::int64_t const id = impl.resolve(key.value);
  std::vector<RootLink> out;
  if (id < 0) return out;  // written by whoever wants to know: see Store::publish
  Query rows = impl.reader.query(
      "SELECT keys.op, links.input, links.op, links.selector FROM links "
      "JOIN keys ON keys.id = links.source WHERE links.target = ? AND keys.root = 1 "
      "ORDER BY keys.op, links.input",
      {id});
  while (rows.next()) {
    KeyLink link{static_cast<int>(rows.integer(1)), rows.digest(2), std::nullopt};
    if (!rows.text(3).empty()) link.selector = rows.digest(3);
    out.push_back({rows.digest(0), std::move(link)});
  }
  return out;
}

Task<std::vector<KeyIndex::RecordedResult>> KeyIndex::newest_results(Timestamp time,
                                                                     std::size_t count) {
  auto job = [until = to_integer(time), limit = static_cast<std::int64_t>(count)](Database& database) {
    std::vector<RecordedResult> out;
    // Ids grow with time, so that this reads no more than it returns, or little more.
    Query rows = database.query(
        "SELECT key, chain, created_at, ingredients FROM results WHERE created_at < ? "
        "ORDER BY id DESC LIMIT ?",
        {until, limit});
    while (rows.next()) {
      out.push_back({{rows.integer(0)},
                     {parse_chain(rows.text(1)), to_timestamp(rows.integer(2)), rows.text(3)}});
    }
    return out;
  };
  co_return co_await store_.impl().write_in_steps(std::move(job));
}

std::vector<KeyIndex::Source> KeyIndex::sources(KeyId key) {
  Store::Impl& impl = store_.impl();
  std::vector<Source> out;
  Query rows = impl.reader.query("SELECT source, input, op FROM links WHERE target = ?",
                                 {impl.resolve(key.value)});
  while (rows.next()) {
    out.push_back({{rows.integer(0)}, static_cast<int>(rows.integer(1)), rows.digest(2)});
  }
  return out;
}

KeyId KeyIndex::current(KeyId key) const {
  return {store_.impl().resolve(key.value)};
}

KeyId KeyIndex::add_root(Digest op) {
  if (auto found = find_root(op)) return *found;
  Store::Impl& impl = store_.impl();
  std::int64_t const id = impl.next_pending_id--;
  impl.pending.add_key(id, op, true);
  return {id};
}

KeyId KeyIndex::add_key(Digest op) {
  Store::Impl& impl = store_.impl();
  std::int64_t const id = impl.next_pending_id--;
  impl.pending.add_key(id, op, false);
  return {id};
}

void KeyIndex::add_link(KeyId from, const KeyLink& link, KeyId to) {
  Store::Impl& impl = store_.impl();
  auto const known = follow(from, link);
  std::int64_t const target = impl.resolve(to.value);
  bool const there = std::any_of(known.begin(), known.end(),
                                 [&](KeyId id) { return impl.resolve(id.value) == target; });
  if (!there) impl.pending.add_link(impl.resolve(from.value), link, target);
}

void KeyIndex::add_result(KeyId key, KeyResult result) {
  Store::Impl& impl = store_.impl();
  impl.pending.add_result(impl.resolve(key.value), std::move(result));
}

void KeyIndex::drop_results(KeyId key) {
  Store::Impl& impl = store_.impl();
  impl.pending.drop_results(impl.resolve(key.value));
}

}  // namespace cobuild::store
