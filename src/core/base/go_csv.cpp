#include "core/base/go_csv.hpp"

#include "core/base/error.hpp"

namespace cobuild {
namespace {

class CsvReader {
 public:
  CsvReader(std::string_view line, char separator) : line_(line), separator_(separator) {
    if (line_.ends_with('\n')) line_.remove_suffix(line_.ends_with("\r\n") ? 2 : 1);
  }

  std::vector<std::string> read() {
    if (line_.empty()) throw Error(ErrorKind::kInvalidInput, "EOF");
    bool more = true;
    while (more) {
      fields_.emplace_back();
      more = line_.substr(position_).starts_with('"') ? read_quoted() : read_plain();
    }
    return std::move(fields_);
  }

 private:
  [[noreturn]] static void fail(std::size_t position, const char* what) {
    throw Error(ErrorKind::kInvalidInput,
                "parse error on line 1, column " + std::to_string(position + 1) + ": " + what);
  }

  /// Each of these reads one field, and says whether there is a next one.
  bool read_plain() {
    std::string_view const field = line_.substr(position_, line_.find(separator_, position_) - position_);
    std::size_t const quote = field.find('"');
    if (quote != std::string_view::npos) {
      fail(position_ + quote, "bare \" in non-quoted field");
    }
    fields_.back() = field;
    position_ += field.size();
    return position_++ < line_.size();
  }

  bool read_quoted() {
    for (++position_;;) {
      std::size_t const quote = line_.find('"', position_);
      if (quote == std::string_view::npos) fail(position_, kQuote);
      fields_.back() += line_.substr(position_, quote - position_);
      position_ = quote + 1;
      if (position_ == line_.size()) return false;
      if (line_[position_] == '"') {
        fields_.back() += '"';
        ++position_;
      } else if (line_[position_] == separator_) {
        ++position_;
        return true;
      } else {
        fail(quote, kQuote);
      }
    }
  }

  static constexpr const char* kQuote = "extraneous or missing \" in quoted-field";
  std::string_view line_;
  char separator_;
  std::size_t position_ = 0;
  std::vector<std::string> fields_;
};

}  // namespace

std::vector<std::string> go_csv_fields(std::string_view line, char separator) {
  return CsvReader(line, separator).read();
}

}  // namespace cobuild
