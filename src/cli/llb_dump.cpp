#include "cli/llb_dump.hpp"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/progress_json.hpp"
#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/base/utf8.hpp"

namespace cobuild::cli {
namespace {

namespace json = boost::json;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

json::object object_of(const Message& message);

struct NamedOp {
  std::string digest;
  pb::Op op;
};

std::vector<NamedOp> parse_ops(const pb::Definition& definition) {
  std::vector<NamedOp> ops;
  for (const std::string& bytes : definition.def()) {
    NamedOp& named = ops.emplace_back();
    named.digest = Digest::of(std::string_view(bytes)).to_string();
    if (!named.op.ParseFromString(bytes)) {
      throw Error(ErrorKind::kInvalidInput, "failed to parse op " + named.digest);
    }
  }
  return ops;
}

json::value value_to_json(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  // The single value, or element `index` of a repeated field.
  auto const get = [&](auto single, auto repeated) {
    return index < 0 ? (reflection.*single)(message, &field)
                     : (reflection.*repeated)(message, &field, index);
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64);
    case FieldDescriptor::CPPTYPE_BOOL:
      return get(&Reflection::GetBool, &Reflection::GetRepeatedBool);
    case FieldDescriptor::CPPTYPE_ENUM:
      return get(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue);
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: return nullptr;  // The package has none.
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string const text = get(&Reflection::GetString, &Reflection::GetRepeatedString);
      if (field.type() == FieldDescriptor::TYPE_BYTES) return json::value(to_base64(text));
      return json::value(to_valid_utf8(text));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const Message& part = index < 0 ? reflection.GetMessage(message, &field)
                                      : reflection.GetRepeatedMessage(message, &field, index);
      return object_of(part);
    }
  }
  return nullptr;
}

/// A map field, in the order of its keys, as Go writes maps.
json::object map_to_json(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  std::map<std::string, json::value> sorted;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    const auto& type = *entry.GetDescriptor();
    std::string const key = entry.GetReflection()->GetString(entry, type.map_key());
    sorted[to_valid_utf8(key)] = value_to_json(entry, *type.map_value(), -1);
  }
  json::object object;
  for (auto& [key, value] : sorted) object[key] = std::move(value);
  return object;
}

/// The member that BuildKit's Go structs keep a oneof in; empty: the member is inline.
std::string_view wrapper_of(const FieldDescriptor& field) {
  if (field.real_containing_oneof() == nullptr) return {};
  const std::string& oneof = field.real_containing_oneof()->name();
  if (oneof == "op") return "Op";
  if (oneof == "action") return "Action";
  if (oneof == "user") return "User";
  return {};
}

/// The struct tags of BuildKit's generated code are the names in the .proto, and all of them omit
/// empty values, but for the indexes of file actions.
json::object object_of(const Message& message) {
  json::object object;
  const Reflection& reflection = *message.GetReflection();
  const auto& type = *message.GetDescriptor();
  bool const is_file_action = type.name() == "FileAction";
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    std::string_view const wrapper = wrapper_of(field);
    if (!wrapper.empty() && !object.contains(wrapper)) object[wrapper] = json::object();
    bool const present = field.is_repeated() ? reflection.FieldSize(message, &field) > 0
                                             : reflection.HasField(message, &field);
    bool const always = is_file_action && wrapper.empty();
    if (!present && !always) continue;
    json::value value;
    if (field.is_map()) {
      value = map_to_json(message, field);
    } else if (field.is_repeated()) {
      json::array list;
      for (int j = 0; j < reflection.FieldSize(message, &field); ++j) {
        list.push_back(value_to_json(message, field, j));
      }
      value = std::move(list);
    } else {
      value = value_to_json(message, field, -1);
    }
    if (wrapper.empty()) {
      object[field.name()] = std::move(value);
    } else {
      std::string const name = field.name() == "byID" ? "byId" : field.name();
      object[wrapper].as_object()[name] = std::move(value);
    }
  }
  return object;
}

/// As Go's %q has it, for what occurs here.
std::string quote(std::string_view text) {
  std::string out = "\"";
  for (char const c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      default: out += c;
    }
  }
  return out + "\"";
}

std::string describe_action(const pb::FileAction& action) {
  switch (action.action_case()) {
    case pb::FileAction::kCopy:
      return "copy{src=" + action.copy().src() + ", dest=" + action.copy().dest() + "}";
    case pb::FileAction::kMkfile: return "mkfile{path=" + action.mkfile().path() + "}";
    case pb::FileAction::kMkdir: return "mkdir{path=" + action.mkdir().path() + "}";
    case pb::FileAction::kRm: return "rm{path=" + action.rm().path() + "}";
    case pb::FileAction::kSymlink:
      return "symlink{oldpath=" + action.symlink().oldpath() +
             ", newpath=" + action.symlink().newpath() + "}";
    case pb::FileAction::ACTION_NOT_SET: return "";
  }
  return "";
}

template <class Items, class Describe>
std::string join(const Items& items, std::string_view separator, Describe describe) {
  std::string out;
  bool first = true;
  for (const auto& item : items) {
    if (!first) out += separator;
    first = false;
    out += describe(item);
  }
  return out;
}

std::pair<std::string, std::string_view> label_and_shape(const NamedOp& named) {
  const pb::Op& op = named.op;
  switch (op.op_case()) {
    case pb::Op::kSource: return {op.source().identifier(), "ellipse"};
    case pb::Op::kExec:
      return {join(op.exec().meta().args(), " ", [](const std::string& word) { return word; }),
              "box"};
    case pb::Op::kBuild: return {"build", "box3d"};
    case pb::Op::kMerge: return {"merge", "invtriangle"};
    case pb::Op::kDiff: return {"diff", "doublecircle"};
    case pb::Op::kFile: return {join(op.file().actions(), ",", describe_action), "note"};
    case pb::Op::kPassthrough:
    case pb::Op::OP_NOT_SET: break;
  }
  return {named.digest, "plaintext"};
}

/// Where an exec mounts its input, unless that is the root.
std::string edge_label(const pb::Op& op, int input) {
  std::string label;
  if (op.op_case() != pb::Op::kExec) return label;
  for (const pb::Mount& mount : op.exec().mounts()) {
    if (mount.input() == input && mount.dest() != "/") label = mount.dest();
  }
  return label;
}

}  // namespace

json::object to_go_json(const Message& message) { return object_of(message); }

std::string dump_llb_json(const pb::Definition& definition) {
  std::string out;
  for (const NamedOp& named : parse_ops(definition)) {
    json::object line;
    line["Op"] = object_of(named.op);
    line["Digest"] = named.digest;
    auto const metadata = definition.metadata().find(named.digest);
    line["OpMetadata"] =
        metadata == definition.metadata().end() ? json::object() : object_of(metadata->second);
    out += json::serialize(line) + "\n";
  }
  return out;
}

std::string dump_llb_dot(const pb::Definition& definition) {
  auto const ops = parse_ops(definition);
  std::string out = "digraph {\n";
  for (const NamedOp& named : ops) {
    auto const [label, shape] = label_and_shape(named);
    out +=
        "  " + quote(named.digest) + " [label=" + quote(label) + " shape=" + quote(shape) + "];\n";
  }
  for (const NamedOp& named : ops) {
    for (int i = 0; i < named.op.inputs_size(); ++i) {
      out += "  " + quote(named.op.inputs(i).digest()) + " -> " + quote(named.digest) +
             " [label=" + quote(edge_label(named.op, i)) + "];\n";
    }
  }
  return out + "}\n";
}

}  // namespace cobuild::cli
