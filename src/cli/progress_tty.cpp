#include "cli/progress_tty.hpp"

#include <algorithm>
#include <utility>

#include "core/base/units.hpp"
#include "core/base/utf8.hpp"

namespace cobuild::cli {
namespace {

constexpr std::size_t kWindowRowsMin = 6;
constexpr std::size_t kWindowMargin =
    10;  // Columns that a window's prefix and breathing space take.
constexpr std::size_t kNameColumnsMin = 12;
constexpr std::size_t kStatusColumnsMin = 20;
constexpr double kSecondsShown = 0.05;  // Below this a step shows 0.0s.

struct Clipped {
  std::string text;
  std::size_t columns = 0;
};

/// `text` as one printable line of at most `columns_max` columns.
Clipped clip(std::string_view text, std::size_t columns_max) {
  Clipped clipped;
  bool full = false;
  Utf8Decoder decoder;
  decoder.write(text, [&](char32_t character) {
    if (character < U' ' || (character >= 0x7F && character < 0xA0)) character = U' ';
    auto const width = static_cast<std::size_t>(column_width(character));
    full = full || clipped.columns + width > columns_max;
    if (full) return;
    append_utf8(clipped.text, character);
    clipped.columns += width;
  });
  return clipped;
}

std::size_t window_rows(std::size_t wanted, std::size_t screen_rows) {
  std::size_t const room = screen_rows > kWindowRowsMin + 1 ? screen_rows - kWindowRowsMin - 1 : 0;
  return std::max(kWindowRowsMin, std::min(wanted, room));
}

std::size_t window_columns(std::size_t screen_columns) {
  return screen_columns > kWindowMargin ? screen_columns - kWindowMargin : 1;
}

double seconds_of(const progress::Status& status, Timestamp now) {
  return std::chrono::duration<double>(status.completed.value_or(now) - *status.started).count();
}

}  // namespace

std::vector<std::size_t> fit_rows(const std::vector<bool>& completed, std::size_t limit) {
  std::vector<std::size_t> shown;
  std::size_t const cut = completed.size() > limit ? completed.size() - limit : 0;
  std::vector<std::size_t> cut_running;
  for (std::size_t i = 0; i < cut; ++i) {
    if (!completed[i]) cut_running.push_back(i);
  }
  std::size_t freed = 0;
  for (std::size_t i = cut; i < completed.size(); ++i) {
    if (completed[i] && freed < cut_running.size()) {
      ++freed;
    } else {
      shown.push_back(i);
    }
  }
  shown.insert(shown.begin(), cut_running.end() - static_cast<std::ptrdiff_t>(freed),
               cut_running.end());
  return shown;
}

void TtyPainter::on_log(const Step* step, std::string_view data, Size size) {
  std::size_t const rows = window_rows(options_.log_rows, size.rows);
  std::size_t const columns = window_columns(size.columns);
  auto const [place, added] =
      windows_.try_emplace(step, Window{TerminalScreen(rows, columns), 0, 0});
  Window& window = place->second;
  if (!added) window.screen.resize(rows, columns);
  window.bytes += data.size();
  window.screen.write(data);
}

std::vector<TtyPainter::Row> TtyPainter::make_rows(const ProgressState& state, Timestamp now) {
  std::vector<Row> rows;
  for (const Step* step : state.started()) {
    if (!step->hidden) add_step_rows(rows, *step, now);
  }
  return rows;
}

void TtyPainter::add_step_rows(std::vector<Row>& rows, const Step& step, Timestamp now) {
  Row row;
  row.seconds = total_seconds(step.runs, now);
  row.completed = step.is_completed();
  row.color = &options_.colors.run;
  row.name = step.name;
  if (step.is_cancelled()) {
    row.name = "CANCELED " + row.name;
    row.color = &options_.colors.cancel;
  } else if (step.is_failed()) {
    row.name = "ERROR " + row.name;
    row.color = &options_.colors.error;
  }
  if (step.cached) row.name = "CACHED " + row.name;
  if (auto const window = windows_.find(&step); window != windows_.end()) {
    if (row.completed) {
      windows_.erase(window);
    } else {
      row.window = &window->second;
    }
  }
  rows.push_back(std::move(row));
  for (const progress::Status& status : step.statuses) {
    Row part;
    part.name = "=> " + status.id;
    part.seconds = seconds_of(status, now);
    part.completed = status.completed.has_value();
    part.color = &options_.colors.run;
    if (status.total != 0) {
      part.status = format_bytes(status.current) + " / " + format_bytes(status.total);
    } else if (status.current != 0) {
      part.status = format_bytes(status.current);
    }
    rows.push_back(std::move(part));
  }
  for (const progress::Warning& warning : step.warnings) {
    Row part;
    part.name = "WARN: " + warning.summary;
    part.seconds = total_seconds(step.runs, now);
    part.completed = step.is_completed();
    part.color = &options_.colors.warning;
    rows.push_back(std::move(part));
  }
}

/// Gives windows to the busiest running steps as long as there is room for them.
void TtyPainter::open_windows(std::vector<Row>& rows, Size size, std::size_t& rows_hidden) {
  std::vector<Row*> candidates;
  std::size_t running = 0;
  for (Row& row : rows) {
    if (row.completed) continue;
    ++running;
    if (row.window != nullptr) candidates.push_back(&row);
  }
  std::sort(candidates.begin(), candidates.end(), [](const Row* a, const Row* b) {
    constexpr std::size_t kFrameWeight = 50;  // A window that is open tends to stay so.
    auto const rank = [](const Row* row) {
      return row->window->bytes + row->window->frames * kFrameWeight;
    };
    return rank(a) > rank(b);
  });
  std::size_t const height = window_rows(options_.log_rows, size.rows);
  std::size_t const needed = height + 3;
  std::size_t room = size.rows > running + 2 ? size.rows - running - 2 : 0;
  for (Row* row : candidates) {
    if (room <= needed) break;
    row->show_window = true;
    row->window->screen.resize(height, window_columns(size.columns));
    ++row->window->frames;
    rows_hidden += row->window->screen.used_rows();
    room -= needed;
  }
}

TtyPainter::Line TtyPainter::header(const ProgressState& state, Size size, Timestamp now,
                                    Frame frame) const {
  auto const counts = state.counts();
  double const seconds =
      state.started_at() ? std::chrono::duration<double>(now - *state.started_at()).count() : 0;
  std::string text = "[+] Building " + format_fixed(seconds, 1) + "s (" +
                     std::to_string(counts.completed) + "/" + std::to_string(counts.total) + ")";
  if (frame == Frame::kWhole && counts.completed > 0 && counts.completed == counts.total) {
    text += " FINISHED";
  }
  Clipped clipped = clip(text, size.columns > 0 ? size.columns - 1 : 0);
  return Line{std::move(clipped.text), clipped.columns};
}

/// Whether there was room for it: on very narrow terminals rows are left out.
bool TtyPainter::add_row(std::vector<Line>& lines, const Row& row, Size size) const {
  constexpr std::string_view kPrefix = " => ";
  std::string const timer = format_fixed(row.seconds < kSecondsShown ? 0 : row.seconds, 1) + "s";
  std::size_t const width = size.columns - 1;  // A full last column would wrap on some terminals.
  std::size_t const fixed = kPrefix.size() + 1 + timer.size();
  std::size_t left = width > fixed ? width - fixed : 0;
  bool const show_status = !row.status.empty() && left + row.status.size() > kStatusColumnsMin &&
                           left > row.status.size() + 1;
  if (show_status) left -= row.status.size() + 1;
  if (left < kNameColumnsMin) return false;
  Clipped const name = clip(row.name, left);
  std::string text = std::string(kPrefix) + name.text;
  std::size_t columns = kPrefix.size() + name.columns;
  if (show_status) {
    text += " " + row.status;
    columns += 1 + row.status.size();
  }
  text.append(width - timer.size() - columns, ' ');
  text += timer;
  if (row.completed && row.color != nullptr && !row.color->empty()) {
    text = *row.color + text + options_.colors.reset;
  }
  lines.push_back(Line{std::move(text), width});
  return true;
}

/// From below the frame on screen to its first line. A terminal that was made narrower has wrapped
/// the lines that no longer fit.
std::string TtyPainter::move_to_top(Size size) const {
  std::size_t up = 0;
  for (std::size_t const columns : drawn_) {
    up += columns > size.columns ? (columns + size.columns - 1) / size.columns : 1;
  }
  return up == 0 ? "\r" : "\r\x1b[" + std::to_string(up) + "A";
}

std::string TtyPainter::paint(const ProgressState& state, Size size, Timestamp now, Frame frame) {
  size.columns = std::max<std::size_t>(size.columns, 2);
  size.rows = std::max<std::size_t>(size.rows, 4);
  std::vector<Row> rows = make_rows(state, now);
  std::size_t rows_hidden = 0;
  open_windows(rows, size, rows_hidden);
  std::vector<bool> completed;
  for (const Row& row : rows) completed.push_back(row.completed);
  std::size_t const room = size.rows - 2 > rows_hidden ? size.rows - 2 - rows_hidden : 0;
  auto const shown = fit_rows(completed, frame == Frame::kWhole ? rows.size() : room);

  std::vector<Line> lines = {header(state, size, now, frame)};
  for (std::size_t const index : shown) {
    const Row& row = rows[index];
    if (!add_row(lines, row, size) || !row.show_window) continue;
    for (const std::string& text : row.window->screen.lines()) {
      Clipped const clipped = clip(" => => # " + text, size.columns - 1);
      lines.push_back(
          Line{options_.colors.faint + clipped.text + options_.colors.reset, clipped.columns});
    }
  }
  std::string out = "\x1b[?25l" + move_to_top(size);
  drawn_.clear();
  for (const Line& line : lines) {
    out += line.text + "\x1b[K\n";  // The rest of an older line goes.
    drawn_.push_back(line.columns);
  }
  out += "\x1b[J\x1b[?25h";  // And what an older frame had below.
  return out;
}

}  // namespace cobuild::cli
