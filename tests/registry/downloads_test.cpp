#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "registry/http_date.hpp"
#include "registry/world.hpp"

namespace cobuild::registry::test {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Keeper final : public DownloadSink {
 public:
  Task<void> begin(const Headers&) override {
    ++begun;
    text.clear();
    co_return;
  }
  Task<void> write(std::span<const std::byte> chunk) override {
    if (fails) throw Error(ErrorKind::kUnavailable, "no space left on device");
    text.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    co_return;
  }
  std::string text;
  int begun = 0;
  bool fails = false;
};

DownloadRequest request_for(World& world, const std::string& target) {
  DownloadRequest request;
  request.url = Url::parse(world.here.url(target));
  request.bytes_max = 1000;
  return request;
}

using Fields = std::vector<std::pair<std::string, std::string>>;

Reply file(std::string body, Fields headers = {}) {
  Reply reply;
  reply.headers = std::move(headers);
  reply.body = std::move(body);
  return reply;
}

Task<void> whole(World& world) {
  world.here.when("GET", "/x", file("hello", {{"ETag", "\"1\""}}));
  Keeper sink;
  auto request = request_for(world, "/x");
  request.headers.add("User-Agent", "me");
  auto const head = co_await world.client().downloads().get(std::move(request), sink);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.text("etag"), "\"1\"");
  EXPECT_EQ(sink.text, "hello");
  EXPECT_EQ(world.here.calls().at(0).header("user-agent"), "me");
}
TEST(Downloads, TakeTheBody) {
  run_world(whole);
}

Task<void> resumed(World& world) {
  Reply broken = file("hello world", {{"ETag", "\"1\""}});
  broken.cut_after = 5;
  world.here.when("GET", "/x", broken);
  Reply rest = file(" world", {{"Content-Range", "bytes 5-10/11"}});
  rest.status = 206;
  world.here.when("GET", "/x", rest);
  Keeper sink;
  auto request = request_for(world, "/x");
  auto const head = co_await world.client().downloads().get(std::move(request), sink);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(sink.text, "hello world");
  EXPECT_EQ(sink.begun, 1);
  EXPECT_EQ(world.here.calls().at(1).header("range"), "bytes=5-");
  EXPECT_EQ(world.here.calls().at(1).header("if-range"), "\"1\"");
}
TEST(Downloads, GoOnWhereTheyBroke) {
  run_world(resumed);
}

Task<void> changed(World& world) {
  Reply broken = file("hello world", {{"ETag", "\"1\""}});
  broken.cut_after = 5;
  world.here.when("GET", "/x", broken);
  world.here.when("GET", "/x", file("other", {{"ETag", "\"2\""}}));
  Keeper sink;
  auto request = request_for(world, "/x");
  auto const head = co_await world.client().downloads().get(std::move(request), sink);
  EXPECT_EQ(head.headers.text("etag"), "\"2\"");
  EXPECT_EQ(sink.text, "other");
  EXPECT_EQ(sink.begun, 2);
}
TEST(Downloads, BeginAgainWhenTheFileIsAnother) {
  run_world(changed);
}

Task<void> nameless(World& world) {
  Reply broken = file("hello world", {{"ETag", "W/\"1\""}});
  broken.cut_after = 5;
  world.here.when("GET", "/x", broken);
  world.here.when("GET", "/x", file("hello world"));
  Keeper sink;
  auto request = request_for(world, "/x");
  co_await world.client().downloads().get(std::move(request), sink);
  EXPECT_EQ(sink.text, "hello world");
  EXPECT_EQ(world.here.calls().at(1).header("range"), "");
}
TEST(Downloads, BeginAgainWhereNothingTellsVersionsApart) {
  run_world(nameless);
}

Task<void> busy(World& world) {
  Reply reply;
  reply.status = 503;
  reply.headers = {{"Retry-After", "2"}};
  world.here.when("GET", "/x", reply);
  world.here.when("GET", "/x", file("hello"));
  Keeper sink;
  auto request = request_for(world, "/x");
  co_await world.client().downloads().get(std::move(request), sink);
  EXPECT_EQ(sink.text, "hello");
  EXPECT_THAT(world.slept, ElementsAre(2000));
}
TEST(Downloads, AskABusyServerAgain) {
  run_world(busy);
}

Task<void> gives_up(World& world) {
  Reply reply;
  reply.status = 500;
  world.here.when("GET", "/x", reply, 100);
  Keeper sink;
  auto const error = co_await error_of(world.client().downloads().get(request_for(world, "/x?key=1"), sink));
  EXPECT_EQ(kind(error), ErrorKind::kUnavailable);
  EXPECT_THAT(what(error), HasSubstr("GET " + world.here.url("/x") + ": tried 5 times: 500"));
  EXPECT_EQ(sink.begun, 0);
}
TEST(Downloads, GiveUpInTheEnd) {
  run_world(gives_up);
}

Task<void> others(World& world) {
  Keeper sink;
  auto request = request_for(world, "/gone");
  auto const head = co_await world.client().downloads().get(std::move(request), sink);
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(sink.begun, 0);
  auto again = request_for(world, "/gone");
  auto const answer = co_await world.client().downloads().head(std::move(again));
  EXPECT_EQ(answer.status, 404);
  EXPECT_TRUE(world.slept.empty());
}
TEST(Downloads, OtherAnswersAreAnswers) {
  run_world(others);
}

Task<void> endless(World& world) {
  world.here.when("GET", "/x", file(std::string(1001, 'x')));
  Keeper sink;
  auto const error = co_await error_of(world.client().downloads().get(request_for(world, "/x"), sink));
  EXPECT_EQ(kind(error), ErrorKind::kCorrupt);
  EXPECT_THAT(what(error), HasSubstr("is longer than 1000 bytes"));
}
TEST(Downloads, AreBounded) {
  run_world(endless);
}

Task<void> sink_fails(World& world) {
  world.here.when("GET", "/x", file("hello"), 9);
  Keeper sink;
  sink.fails = true;
  auto const error = co_await error_of(world.client().downloads().get(request_for(world, "/x"), sink));
  EXPECT_EQ(what(error), "no space left on device");
  EXPECT_EQ(world.here.calls().size(), 1U) << "the server can do nothing about it";
}
TEST(Downloads, AFullDiskIsNotTheServersFault) {
  run_world(sink_fails);
}

Task<void> elsewhere(World& world) {
  Reply redirect;
  redirect.status = 302;
  redirect.headers = {{"Location", world.there.url("/y")}};
  world.here.when("GET", "/x", redirect);
  world.there.when("GET", "/y", file("hello"));
  Keeper sink;
  auto request = request_for(world, "/x");
  request.headers.add("Authorization", "Basic abc");
  co_await world.client().downloads().get(std::move(request), sink);
  EXPECT_EQ(sink.text, "hello");
  EXPECT_EQ(world.here.calls().at(0).header("authorization"), "Basic abc");
  EXPECT_EQ(world.there.calls().at(0).header("authorization"), "");
}
TEST(Downloads, CredentialsStayWithTheirServer) {
  run_world(elsewhere);
}

TEST(HttpDate, IsReadAndWritten) {
  for (const char* text : {"Sun, 06 Nov 1994 08:49:37 GMT", "Thu, 01 Jan 1970 00:00:00 GMT",
                           "Thu, 29 Feb 2024 23:59:59 GMT"}) {
    auto const time = parse_http_date(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(format_http_date(*time), text);
  }
  for (const char* text : {"", "yesterday", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 31 Feb 2024 00:00:00 GMT"}) {
    EXPECT_FALSE(parse_http_date(text)) << text;
  }
}

}  // namespace
}  // namespace cobuild::registry::test
