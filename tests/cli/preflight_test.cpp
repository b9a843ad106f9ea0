#include "cli/preflight.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Preflight : public ::testing::Test {
 protected:
  [[nodiscard]] fs::path path(const std::string& name) const { return directory_.path() / name; }
  void make_file(const std::string& name) const { std::ofstream(path(name)) << "x"; }

  /// What is said; empty when all is well.
  static std::string complaint(const std::function<void(const BuildOptions&)>& check,
                               const BuildOptions& options) {
    try {
      check(options);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }
  static std::string about_locals(const BuildOptions& options) {
    return complaint(check_local_directories, options);
  }
  static std::string about_places(const BuildOptions& options) {
    auto const check = [](const BuildOptions& all) { check_destinations(all, WriteRights::kUsers); };
    return complaint(check, options);
  }
  static BuildOptions writing(std::vector<OutputOptions> outputs) {
    BuildOptions options;
    options.outputs = std::move(outputs);
    return options;
  }
  [[nodiscard]] OutputOptions file(const std::string& name) const {
    return {.type = "oci", .attributes = {}, .destination = path(name), .directory = false};
  }
  [[nodiscard]] OutputOptions tree(const std::string& name) const {
    return {.type = "local", .attributes = {}, .destination = path(name), .directory = true};
  }

 private:
  TempDir directory_ = TempDir::create(fs::temp_directory_path(), "preflight-");
};

TEST_F(Preflight, LocalDirectories) {
  make_file("file");
  fs::create_directory(path("dir"));
  BuildOptions options;
  options.locals = {{"context", path("dir")}, {"dockerfile", path("dir")}};
  EXPECT_EQ(about_locals(options), "");
  options.locals["dockerfile"] = path("none");
  EXPECT_EQ(about_locals(options),
            "the Dockerfile's directory " + path("none").string() + " does not exist");
  options.locals["context"] = path("file");
  EXPECT_EQ(about_locals(options),
            "the build context " + path("file").string() + " is not a directory");
  options.locals["context"] = path("file/below");
  EXPECT_EQ(about_locals(options),
            "the build context " + path("file/below").string() + " does not exist");
  options.locals = {{"other", path("none")}};
  EXPECT_EQ(about_locals(options),
            "the directory " + path("none").string() + " of the context other does not exist");
}

TEST_F(Preflight, WhatCanBeWritten) {
  make_file("old.tar");
  fs::create_directory(path("dir"));
  fs::create_symlink("old.tar", path("link"));
  fs::create_symlink("dir/new.tar", path("dangling"));
  BuildOptions options =
      writing({file("new.tar"), file("link"), file("dangling"), tree("dir"), tree("made/below")});
  options.outputs.push_back(
      {.type = "tar", .attributes = {}, .destination = "-", .directory = false});
  options.outputs.push_back(
      {.type = "tar", .attributes = {}, .destination = "/dev/null", .directory = false});
  options.outputs.push_back(options.outputs.back());
  options.outputs.push_back(
      {.type = "image", .attributes = {}, .destination = {}, .directory = false});
  options.iid_file = path("iid");
  EXPECT_EQ(about_places(options), "");
  EXPECT_FALSE(fs::exists(path("made"))) << "it only looks";
}

/// F4.1.3.
TEST_F(Preflight, WhatCannot) {
  make_file("file");
  fs::create_directory(path("dir"));
  EXPECT_THAT(about_places(writing({file("no/such/x.tar")})),
              HasSubstr("the directory " + path("no/such").string() +
                        " does not exist: make it with `mkdir -p "));
  EXPECT_THAT(about_places(writing({file("dir")})), HasSubstr("destination file is a directory"));
  EXPECT_THAT(about_places(writing({file("file/x.tar")})), HasSubstr("is not a directory"));
  EXPECT_THAT(about_places(writing({tree("file")})), HasSubstr("is not a directory"));
  EXPECT_THAT(about_places(writing({tree("file/below")})), HasSubstr("is not a directory"));
  for (auto member : {&BuildOptions::metadata_file, &BuildOptions::iid_file,
                      &BuildOptions::ref_file, &BuildOptions::trace_file}) {
    BuildOptions options;
    options.*member = path("no/such/file");
    EXPECT_THAT(about_places(options), HasSubstr("does not exist"));
  }
}

TEST_F(Preflight, WhatOthersMayNotWrite) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  fs::create_directory(path("closed"));
  fs::permissions(path("closed"), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_THAT(about_places(writing({file("closed/x.tar")})), HasSubstr("cannot write"));
  EXPECT_THAT(about_places(writing({tree("closed/x")})), HasSubstr("cannot write"));
}

TEST_F(Preflight, OnePlaceForEach) {
  fs::create_directory(path("dir"));
  fs::create_symlink("z.tar", path("link.tar"));
  EXPECT_THAT(about_places(writing({file("z.tar"), file("./z.tar")})),
              HasSubstr("--output writes there already"));
  EXPECT_THAT(about_places(writing({file("z.tar"), file("link.tar")})),
              HasSubstr("--output writes there already"));
  EXPECT_THAT(about_places(writing({tree("dir"), tree("dir/")})),
              HasSubstr("--output writes there already"));
  OutputOptions here{.type = "oci", .attributes = {}, .destination = "not-there.tar", .directory = false};
  OutputOptions also_here = here;
  also_here.destination = "./not-there.tar";
  EXPECT_THAT(about_places(writing({here, also_here})), HasSubstr("--output writes there already"));
  BuildOptions options = writing({file("z.tar")});
  options.metadata_file = path("z.tar");
  EXPECT_THAT(about_places(options), HasSubstr("--metadata-file"));
}

}  // namespace
}  // namespace cobuild::cli
