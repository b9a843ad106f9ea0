/// The unpacking pipeline as coroutines see it.

#include <gtest/gtest.h>

#include <boost/asio/this_coro.hpp>

#include <string>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "oci/layer_apply.hpp"
#include "oci/layer_tree.hpp"
#include "oci/tar_builder.hpp"
#include "support/run_task.hpp"

namespace cobuild::oci {
namespace {

using test::Scratch;
using test::TarBuilder;

/// Entries of the invoking user, who need not be root.
TarHeader own(TarHeader header) {
  header.uid = ::geteuid();
  header.gid = ::getegid();
  return header;
}

Task<void> apply_in_pieces(test::fs::path layer, std::string tar, std::size_t piece) {
  LayerApplier applier(co_await asio::this_coro::executor, layer);
  for (std::size_t at = 0; at < tar.size(); at += piece) {
    std::string const chunk = tar.substr(at, piece);
    co_await applier.write(std::as_bytes(std::span(chunk)));
  }
  AppliedLayer const applied = co_await applier.finish();
  EXPECT_EQ(applied.diff_id, DiffId(Digest::of(tar)));
}

TEST(LayerApplier, TakesPiecesFromACoroutine) {
  Scratch const scratch;
  std::string const tar = TarBuilder()
                              .add(own({.name = "f", .mode = 0644}), std::string(20'000'000, 'f'))
                              .add(own({.name = "g", .mode = 0644}), "g")
                              .finish();
  test::run(apply_in_pieces(scratch.make("large"), tar, 3'000'000));
  test::run(apply_in_pieces(scratch.make("small"), tar, 60'000));
  EXPECT_EQ(test::fs::file_size(scratch.path() / "small/f"), 20'000'000U);
}

Task<void> apply_garbage(test::fs::path layer) {
  LayerApplier applier(co_await asio::this_coro::executor, layer);
  std::string const garbage(1 << 20, 'x');
  bool failed = false;
  for (int i = 0; i < 64 && !failed; ++i) {
    try {
      co_await applier.write(std::as_bytes(std::span(garbage)));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
      failed = true;
    }
  }
  EXPECT_TRUE(failed) << "the writer hears of the failure before the end";
}

TEST(LayerApplier, TellsTheWriterOfFailures) {
  Scratch const scratch;
  test::run(apply_garbage(scratch.make("layer")));
}

Task<void> give_up(test::fs::path layer, std::string part) {
  LayerApplier applier(co_await asio::this_coro::executor, layer);
  co_await applier.write(std::as_bytes(std::span(part)));
}

TEST(LayerApplier, CanBeGivenUpInTheMiddle) {
  Scratch const scratch;
  std::string const tar =
      TarBuilder().add(own({.name = "f", .mode = 0644}), std::string(2'000'000, 'f')).finish();
  test::run(give_up(scratch.make("layer"), tar.substr(0, 1'500'000)));
}

Task<void> never_ends(test::fs::path layer) {
  LayerApplier applier(co_await asio::this_coro::executor, layer);
  std::string const start = TarBuilder().file("f", std::string(5000, 'f')).bytes().substr(0, 1000);
  co_await applier.write(std::as_bytes(std::span(start)));
  AppliedLayer const applied = co_await applier.finish();
  ADD_FAILURE() << "a cut archive was accepted: " << applied.entries;
}

TEST(LayerApplier, NoticesAnEarlyEnd) {
  Scratch const scratch;
  EXPECT_THROW(test::run(never_ends(scratch.make("layer"))), Error);
}

Task<void> fill_up(test::fs::path layer, bool* was_cancelled) {
  LayerApplier applier(co_await asio::this_coro::executor, layer);
  std::string const zeros(1 << 20, '\0');
  try {
    // Two zero blocks end the archive; what follows is drained as fast as it is hashed, so the
    // writer waits now and then for as long as we like.
    for (;;) co_await applier.write(std::as_bytes(std::span(zeros)));
  } catch (const boost::system::system_error& error) {
    *was_cancelled = is_cancelled(error);
    throw;
  }
}

TEST(LayerApplier, WritersCanBeCancelled) {
  Scratch const scratch;
  bool was_cancelled = false;
  EXPECT_THROW(test::run(with_timeout(fill_up(scratch.make("layer"), &was_cancelled),
                                      std::chrono::milliseconds(30))),
               Error);
  EXPECT_TRUE(was_cancelled);
}

}  // namespace
}  // namespace cobuild::oci
