#include "cli/verify_report.hpp"

#include <gtest/gtest.h>

namespace cobuild::cli {
namespace {

store::VerifyReport sample() {
  store::VerifyReport report;
  report.layers = 3;
  report.blobs = 2;
  report.bytes = 1'500'000;
  report.damages = {{store::Damage::Kind::kBlob, "sha256:ab", "its file is missing"},
                    {store::Damage::Kind::kLayer, "7 (RUN a\nb)", "its files are missing"}};
  report.strays = {"snapshots/9"};
  return report;
}

TEST(VerifyReport, Text) {
  EXPECT_EQ(render_verify_text(sample()),
            "blob sha256:ab: its file is missing: dropped\n"
            "layer 7 (RUN a b): its files are missing: dropped\n"
            "snapshots/9: belongs to nothing: removed\n"
            "3 layers and 2 blobs (1.50MB) were checked, 2 damaged\n");
  EXPECT_EQ(render_verify_text({}), "0 layers and 0 blobs (0B) were checked, 0 damaged\n");
}

TEST(VerifyReport, Json) {
  EXPECT_EQ(render_verify_json(sample()),
            R"({"layers":3,"blobs":2,"bytes":1500000,"damaged":[)"
            R"({"kind":"blob","name":"sha256:ab","problem":"its file is missing"},)"
            R"text({"kind":"layer","name":"7 (RUN a\nb)","problem":"its files are missing"}],)text"
            R"("strays":["snapshots/9"]})"
            "\n");
}

}  // namespace
}  // namespace cobuild::cli
