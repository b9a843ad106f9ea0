/// The small text tools of core/base that the CLI prints with: sizes, suggestions, UTF-8, tables.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/text_table.hpp"
#include "core/base/suggest.hpp"
#include "core/base/units.hpp"
#include "core/base/utf8.hpp"

namespace cobuild {
namespace {

TEST(FormatBytes, DecimalUnitsWithTwoDecimals) {
  EXPECT_EQ(format_bytes(0), "0B");
  EXPECT_EQ(format_bytes(999), "999B");
  EXPECT_EQ(format_bytes(1000), "1.00kB");
  EXPECT_EQ(format_bytes(1234), "1.23kB");
  EXPECT_EQ(format_bytes(12'300'000), "12.30MB");
  EXPECT_EQ(format_bytes(5'000'000'000), "5.00GB");
  EXPECT_EQ(format_bytes(INT64_MAX), "9.22EB");
  EXPECT_EQ(format_bytes(-1500), "-1.50kB");
}

TEST(ParseBytes, BothUnits) {
  struct Row {
    const char* text;
    std::optional<std::int64_t> decimal;
    std::optional<std::int64_t> binary;
  };
  for (const Row& row :
       {Row{"512", 512, 512}, Row{"512MB", 512'000'000, 536'870'912},
        Row{"10GB", 10'000'000'000, 10'737'418'240}, Row{"1.5 kiB", 1500, 1536}, Row{"7b", 7, 7},
        Row{"1K", 1000, 1024}, Row{"2p", 2'000'000'000'000'000, 2'251'799'813'685'248},
        Row{"", {}, {}}, Row{"MB", {}, {}}, Row{"1q", {}, {}}, Row{"1kbb", {}, {}},
        Row{"-1", {}, {}}, Row{"1  k", {}, {}}, Row{"1.2.3", {}, {}}, Row{"1bb", {}, {}},
        Row{"99999999999g", {}, {}}}) {
    EXPECT_EQ(try_parse_bytes(row.text, SizeUnits::kDecimal), row.decimal) << row.text;
    EXPECT_EQ(try_parse_bytes(row.text, SizeUnits::kBinary), row.binary) << row.text;
  }
}

TEST(Suggest, ClosestWithinTwoEdits) {
  std::vector<std::string> const words = {"RUN", "COPY", "ADD", "ARG"};
  EXPECT_EQ(closest_match("RNU", words), "RUN");
  EXPECT_EQ(closest_match("CPy", words), "COPY");
  EXPECT_EQ(closest_match("RUN", words), std::nullopt);
  EXPECT_EQ(closest_match("FROBNICATE", words), std::nullopt);
  EXPECT_EQ(did_you_mean("COPPY", words), " (did you mean COPY?)");
}

TEST(Utf8, RepairsWhatIsNone) {
  EXPECT_EQ(to_valid_utf8("grün"), "grün");
  EXPECT_EQ(to_valid_utf8("a\xff"
                          "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(to_valid_utf8("\xe2\x82"), "\xEF\xBF\xBD");
  EXPECT_EQ(to_valid_utf8("\xed\xa0\x80"), "\xEF\xBF\xBD");  // A surrogate.
  EXPECT_EQ(to_valid_utf8("\xe0\x80\xaf"), "\xEF\xBF\xBD");  // Overlong.
  EXPECT_EQ(to_valid_utf8("\xe2\x82"
                          "a"),
            "\xEF\xBF\xBD"
            "a");
  EXPECT_EQ(column_width(U'a'), 1);
  EXPECT_EQ(column_width(U'日'), 2);
  EXPECT_EQ(column_width(U'\x301'), 0);
}

TEST(AlignTabs, ColumnsAreMultiplesOfEight) {
  EXPECT_EQ(cli::align_tabs("a\tb\nlong cell\tc\n"), "a\t\tb\nlong cell\tc\n");
  EXPECT_EQ(cli::align_tabs("1234567\tx\n"), "1234567\tx\n");
  EXPECT_EQ(cli::align_tabs("12345678\tx\n"), "12345678\tx\n");
  // A line without that cell ends the column.
  EXPECT_EQ(cli::align_tabs("a\tb\nplain\n123456789\tc\n"), "a\tb\nplain\n123456789\tc\n");
}

}  // namespace
}  // namespace cobuild
