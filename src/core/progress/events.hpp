#pragma once

/// What a build tells while it runs: the events of F2.7.2, as plain data.

#include <cstdint>
#include <optional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/go_time.hpp"

namespace cobuild::progress {

struct Group {
  std::string id;
  std::string name;
  bool weak = false;

  friend bool operator==(const Group&, const Group&) = default;
};

/// A vertex became known, started, ended. Sent again, whole, at each change.
struct Vertex {
  Digest digest;
  std::vector<Digest> inputs;
  std::string name;
  bool cached = false;
  std::optional<Timestamp> started;
  std::optional<Timestamp> completed;
  std::string error;  ///< Empty: none. "context canceled": stopped because of another failure.
  std::optional<Group> group;
};

/// How far a part of a vertex is: a layer's download, an export's upload.
struct Status {
  std::string id;  ///< Unique within the vertex; also what is shown.
  Digest vertex;
  std::string name;
  std::int64_t current = 0;  ///< Bytes.
  std::int64_t total = 0;    ///< Bytes; 0: unknown.
  Timestamp timestamp;
  std::optional<Timestamp> started;
  std::optional<Timestamp> completed;
};

struct Log {
  Digest vertex;
  int stream = 1;  ///< 1: stdout, 2: stderr.
  std::string data;
  Timestamp timestamp;
};

struct Range {
  int first_line = 0;
  int last_line = 0;
};

struct Warning {
  Digest vertex;
  int level = 1;
  std::string summary;  ///< "Rule: message (line N)".
  std::vector<std::string> detail;
  std::string url;
  std::string filename;
  std::shared_ptr<const std::string> text;  ///< The file's content, for the excerpt; may be null.
  std::vector<Range> ranges;
};

/// Where events go. Called on the loop only; must not block and must not throw.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void on_vertex(const Vertex& vertex) = 0;
  virtual void on_status(const Status& status) = 0;
  virtual void on_log(const Log& log) = 0;
  virtual void on_warning(const Warning& warning) = 0;
};

}  // namespace cobuild::progress
