// SOURCE_DATE_EPOCH as the name of a source (F1.5.26 to F1.5.28).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert.hpp"

namespace cobuild::dockerfile {
namespace {

using testing::HasSubstr;

ConvertOptions dated(const std::string& epoch, std::map<std::string, std::string> contexts = {}) {
  auto options = test_options();
  options.build_args["SOURCE_DATE_EPOCH"] = epoch;
  options.named_contexts = std::move(contexts);
  return options;
}

/// The identifier of the source; "none" when there is none, else the error.
std::string source_of(const std::string& text, const ConvertOptions& options) {
  try {
    auto const found = find_epoch_source(parse(text, "Dockerfile"), options);
    return found ? found->source.identifier() : "none";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(EpochSource, NumbersAndNothingNameNone) {
  for (const char* epoch : {"", "0", "-5", "1700000000"}) {
    EXPECT_EQ(source_of("FROM scratch", dated(epoch)), "none") << epoch;
  }
  EXPECT_EQ(source_of("FROM scratch", test_options()), "none");
}

TEST(EpochSource, TheContextCountsWhenItIsRemote) {
  auto options = dated("context");
  EXPECT_EQ(source_of("FROM scratch", options), "none");
  options.remote_context =
      RemoteContext{.kind = RemoteContext::Kind::kGit, .url = "https://h/r.git#v1", .subdir = {}};
  EXPECT_EQ(source_of("FROM scratch", options), "git://h/r.git#v1");
  options.remote_context =
      RemoteContext{.kind = RemoteContext::Kind::kArchive, .url = "https://h/x.tar", .subdir = "d"};
  auto const archive = find_epoch_source(parse("FROM scratch", "Dockerfile"), options);
  ASSERT_TRUE(archive);
  EXPECT_EQ(archive->source.identifier(), "https://h/x.tar");
  EXPECT_EQ(archive->source.attrs().at("http.filename"), "context");
  EXPECT_EQ(archive->step_name, "[internal] resolve main build context metadata");
}

TEST(EpochSource, AGlobalArgNamesOneToo) {
  auto options = test_options();
  options.named_contexts = {{"src", "https://h/r.git"}};
  EXPECT_EQ(source_of("ARG X=src\nARG SOURCE_DATE_EPOCH=${X}\nFROM scratch", options),
            "git://h/r.git");
}

TEST(EpochSource, NamedContextsComeBeforeStages) {
  std::string const text = "FROM scratch AS src\nRUN x\nFROM scratch";
  EXPECT_EQ(source_of(text, dated("src", {{"src", "https://h/file"}})), "https://h/file");
  EXPECT_EQ(source_of(text, dated("src", {{"src", "git@h:o/r.git"}})), "git://h/o/r.git");
  EXPECT_EQ(source_of(text, dated("src", {{"src", "local:dir"}})), "none");
  EXPECT_EQ(source_of(text, dated("src", {{"src", "docker-image://alpine"}})), "none");
  EXPECT_EQ(source_of(text, dated("src", {{"src", "docker-image://scratch"}})), "none");
  EXPECT_THAT(source_of(text, dated("src", {{"src", "nonsense"}})),
              HasSubstr("invalid context specifier"));
}

TEST(EpochSource, AStageIsOneDownload) {
  auto options = dated("SRC");
  options.build_args["V"] = "2";
  std::string const sum = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(
      source_of("ARG H=h\nFROM scratch AS src\nARG V=1 W=w\nADD https://$H/$W-$V.tar /x", options),
      "https://h/w-2.tar");
  auto const checked = find_epoch_source(
      parse("FROM scratch AS src\nADD --checksum=" + sum + " https://h/a.tar /", "Dockerfile"),
      options);
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->source.attrs().at("http.checksum"), sum);
  EXPECT_EQ(checked->source.attrs().at("http.filename"), "a.tar");
  EXPECT_EQ(checked->step_name, "[internal] resolve SOURCE_DATE_EPOCH source stage src");
  EXPECT_EQ(source_of("FROM scratch AS src\nADD https://h/r.git#v1 /", options),
            "git://h/r.git#v1");
}

TEST(EpochSource, OtherStagesAreRefusedInBuildKitsWords) {
  struct Row {
    const char* stage;
    const char* message;
  };
  for (const Row& row :
       {Row{"FROM alpine AS src\nADD https://h/x /",
            "SOURCE_DATE_EPOCH stage must use FROM scratch"},
        Row{"FROM scratch AS src", "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD"},
        Row{"FROM scratch AS src\nADD https://h/x /\nADD https://h/y /",
            "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD"},
        Row{"FROM scratch AS src\nADD https://h/x https://h/y /",
            "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source"},
        Row{"FROM scratch AS src\nADD <<E /x\nE",
            "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source"},
        Row{"FROM scratch AS src\nADD file /",
            "SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD"},
        Row{"FROM scratch AS src\nCOPY a /",
            "does not meet source-only requirements: unsupported COPY instruction"},
        Row{"FROM scratch AS src\nADD https://h/x /\nRUN x", "unsupported RUN instruction"},
        Row{"FROM scratch AS src\nADD --checksum=sha256:1 https://h/x /",
            "invalid checksum digest length"}}) {
    std::string const text = std::string("\n") + row.stage + "\nFROM scratch";
    EXPECT_THAT(source_of(text, dated("src")), HasSubstr(row.message)) << row.stage;
    try {
      (void)find_epoch_source(parse(text, "Dockerfile"), dated("src"));
    } catch (const Error& error) {
      EXPECT_EQ(line_of(error), 2) << row.stage;
    }
  }
}

TEST(EpochSource, WhatNamesNothingIsRefused) {
  EXPECT_THAT(source_of("FROM scratch", dated("yesterday")),
              HasSubstr("invalid SOURCE_DATE_EPOCH: yesterday"));
}

TEST(Epoch, TakesThePlaceOfTheName) {
  auto options = dated("src");
  options.source_date_epoch = "1234";
  auto const lowered = convert("FROM scratch\nARG SOURCE_DATE_EPOCH\nRUN x", options);
  ASSERT_TRUE(lowered.epoch);
  EXPECT_EQ(lowered.epoch->time_since_epoch(), std::chrono::seconds(1234));
  auto const env = last_exec(lowered).meta().env();
  EXPECT_THAT(std::vector<std::string>(env.begin(), env.end()),
              testing::Contains("SOURCE_DATE_EPOCH=1234"));
}

TEST(Epoch, OfASourceWithoutATimeIsNotSet) {
  for (auto const& found : {std::optional<std::string>(), std::optional<std::string>("")}) {
    auto options = dated("src");
    options.source_date_epoch = found;
    auto const lowered =
        convert("ARG SOURCE_DATE_EPOCH\nFROM scratch\nARG SOURCE_DATE_EPOCH\nRUN x", options);
    EXPECT_FALSE(lowered.epoch);
    auto const env = last_exec(lowered).meta().env();
    for (const std::string& variable : env)
      EXPECT_FALSE(variable.starts_with("SOURCE_DATE_EPOCH")) << variable;
  }
}

}  // namespace
}  // namespace cobuild::dockerfile
