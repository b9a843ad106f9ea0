// A store at another path, and one whose files have lost their owners.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/base/error.hpp"
#include "core/store/collect.hpp"
#include "core/store/key_index.hpp"
#include "core/store/verify.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::store {
namespace {

using test::add_layer;
using test::read_text;
using test::StoreProcess;
using test::StoreTest;
using test::write_blob;
using test::write_text;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(StoreTest, AMovedStoreHasAllThatItHad) {
  BlobDigest const blob(Digest::of("blob"));
  LayerId layer;
  {
    StoreProcess process(root);
    layer = add_layer(process, "content");
    write_blob(process, "blob");
    process.run(
        process.store().set_sealed(layer, DiffId(Digest::of("d")), {blob, 4, "m", {}, true}));
    KeyIndex index(process.store());
    index.add_result(index.add_root(Digest::of("key")), {{layer}, now(), ""});
    write_text(process.run(process.store().cache_mount("pip", "pip")) / "wheel", "w");
    process.run(process.store().flush());
  }
  auto const elsewhere = directory.path() / "another" / "place";
  std::filesystem::create_directories(elsewhere.parent_path());
  std::filesystem::rename(root, elsewhere);
  StoreProcess process(elsewhere);
  KeyIndex index(process.store());
  auto const results = index.results(index.add_root(Digest::of("key")));
  ASSERT_EQ(results.size(), 1U);
  ASSERT_TRUE(process.run(process.store().use(results[0].chain)));
  EXPECT_EQ(read_text(process.store().snapshot_path(layer) / "file"), "content");
  EXPECT_TRUE(process.store().has_blob(blob));
  EXPECT_EQ(read_text(process.store().blob_path(blob)), "blob");
  EXPECT_EQ(read_text(process.run(process.store().cache_mount("pip", "pip")) / "wheel"), "w");
  VerifyReport const report = process.run(verify_store(process.store()));
  EXPECT_THAT(report.damages, IsEmpty());
  EXPECT_THAT(report.strays, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(root)) << "nothing looks at where it was";
}

TEST_F(StoreTest, OwnersThatAreNotWhatTheyWereAreToldOf) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to give files away";
  auto const mark = root / "owner-mark";
  {
    StoreProcess const process(root);
  }
  {
    StoreProcess const process(root);
  }
  ASSERT_EQ(::chown(mark.c_str(), 1000, 1000), 0);
  try {
    StoreProcess const process(root);
    FAIL() << "was opened";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(e.what(), AllOf(HasSubstr(root.string()), HasSubstr("belongs to 1000:1000"),
                                HasSubstr("--numeric-owner"), HasSubstr("--root")));
  }
  std::filesystem::remove(mark);
  StoreProcess const process(root);  // made where nobody can give files away
}

/// What opening the store says; empty when it is opened.
std::string refusal_of(const std::filesystem::path& root) {
  try {
    StoreProcess const process(root);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUnsupported);
    return e.what();
  }
  return {};
}

TEST_F(StoreTest, AttributesThatWereLostAreToldOf) {
  // As by tar without --xattrs: directories that hid what is below them would no longer do so.
  auto const mark = root / "attribute-mark";
  {
    StoreProcess const process(root);
  }
  if (!std::filesystem::exists(mark)) GTEST_SKIP() << "files have no attributes here";
  EXPECT_EQ(refusal_of(root), "");
  ASSERT_EQ(::removexattr(mark.c_str(), "user.cobuild"), 0);
  EXPECT_THAT(refusal_of(root), AllOf(HasSubstr(root.string()), HasSubstr("has no user.cobuild"),
                                      HasSubstr("--xattrs"), HasSubstr("--root")));
  std::filesystem::remove(mark);
  EXPECT_EQ(refusal_of(root), "") << "made where files have none";
}

TEST_F(StoreTest, CapabilitiesThatWereLostAreToldOf) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to give files capabilities";
  auto const mark = root / "attribute-mark";
  {
    StoreProcess const process(root);
  }
  // As by tar with --xattrs, which gives back a user's attributes only.
  ASSERT_EQ(::removexattr(mark.c_str(), "security.capability"), 0);
  EXPECT_THAT(refusal_of(root), HasSubstr("has no security.capability"));
}

}  // namespace
}  // namespace cobuild::store
