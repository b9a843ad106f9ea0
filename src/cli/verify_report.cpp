#include "cli/verify_report.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <utility>

#include "cli/text_table.hpp"
#include "core/base/units.hpp"
#include "core/base/utf8.hpp"

namespace cobuild::cli {

namespace json = boost::json;

std::string render_verify_text(const store::VerifyReport& report) {
  std::string out;
  for (const store::Damage& damage : report.damages) {
    out += std::string(store::to_string(damage.kind)) + " " + one_line(damage.name) + ": " +
           damage.problem + ": dropped\n";
  }
  for (const std::string& stray : report.strays) out += stray + ": belongs to nothing: removed\n";
  return out + std::to_string(report.layers) + " layers and " + std::to_string(report.blobs) +
         " blobs (" + format_bytes(report.bytes) + ") were checked, " +
         std::to_string(report.damages.size()) + " damaged\n";
}

std::string render_verify_json(const store::VerifyReport& report) {
  json::array damages;
  for (const store::Damage& damage : report.damages) {
    damages.push_back(json::object{{"kind", store::to_string(damage.kind)},
                                   {"name", to_valid_utf8(damage.name)},
                                   {"problem", damage.problem}});
  }
  json::array strays;
  for (const std::string& stray : report.strays) strays.emplace_back(to_valid_utf8(stray));
  return json::serialize(json::object{{"layers", report.layers},
                                      {"blobs", report.blobs},
                                      {"bytes", report.bytes},
                                      {"damaged", std::move(damages)},
                                      {"strays", std::move(strays)}}) +
         "\n";
}

}  // namespace cobuild::cli
