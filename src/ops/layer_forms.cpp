#include "ops/layer_forms.hpp"

#include <boost/json.hpp>

namespace cobuild::ops {

namespace json = boost::json;

void put_layer_form(store::Store& store, store::LayerId layer, std::string_view name,
                    const LayerForm& form) {
  json::object const object{{"diff_id", form.diff_id.to_string()},
                            {"blob", form.blob.to_string()},
                            {"bytes", form.bytes},
                            {"type", form.media_type},
                            {"urls", json::value_from(form.urls)},
                            {"annotations", json::value_from(form.annotations)}};
  store.put_layer_note(layer, name, json::serialize(object), form.blob);
}

std::optional<LayerForm> get_layer_form(store::Store& store, store::LayerId layer,
                                        std::string_view name) {
  std::optional<std::string> const note = store.get_layer_note(layer, name);
  if (!note) return std::nullopt;
  json::object const object = json::parse(*note).as_object();
  LayerForm form{.diff_id = DiffId(Digest::parse(object.at("diff_id").as_string())),
                 .blob = BlobDigest(Digest::parse(object.at("blob").as_string())),
                 .bytes = object.at("bytes").to_number<std::int64_t>(),
                 .media_type = std::string(object.at("type").as_string())};
  form.urls = json::value_to<std::vector<std::string>>(object.at("urls"));
  form.annotations = json::value_to<std::map<std::string, std::string>>(object.at("annotations"));
  return form;
}

std::string described_form(const BlobDigest& blob) {
  return "described " + blob.to_string();
}

}  // namespace cobuild::ops
