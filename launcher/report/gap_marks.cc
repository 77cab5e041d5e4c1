#include "launcher/report/gap_marks.h"

#include <algorithm>

#include "launcher/report/missing_bytes.h"

namespace muster::report {

// A gap is on record before its zeros can be read.
void GapMarks::look() {
  const std::uintmax_t size = ledger_size_of(file_);
  if (size == ledger_size_) return;
  ledger_size_ = size;
  gaps_ = missing_parts(file_);
}

void GapMarks::mark(const store::Gap& gap, ConsoleLines& lines, std::string& text) {
  if (gap.from >= told_to_) {
    lines.flush(text);
    lines.add(missing_bytes_line(gap.from, gap.to, gap.reason) + "\n", text);
  }
  told_to_ = std::max(told_to_, *gap.to);
}

void GapMarks::add(std::uint64_t offset, std::string_view bytes, ConsoleLines& lines,
                   std::string& text) {
  // Most streams have no zeros, and no gaps.
  if (bytes.find('\0') == std::string_view::npos) return lines.add(bytes, text);
  look();
  const std::uint64_t end = offset + bytes.size();
  std::uint64_t at = offset;
  for (const store::Gap& gap : gaps_) {
    if (*gap.to <= at) continue;
    if (gap.from >= end) break;
    if (gap.from > at) lines.add(bytes.substr(at - offset, gap.from - at), text);
    mark(gap, lines, text);
    at = std::min(*gap.to, end);
  }
  lines.add(bytes.substr(at - offset), text);
}

// Holes are whole blocks of the file system; the gap may begin before them and end behind them.
void GapMarks::add_hole(std::uint64_t from, std::uint64_t to, ConsoleLines& lines,
                        std::string& text) {
  look();
  bool any = false;
  for (const store::Gap& gap : gaps_) {
    if (*gap.to <= from || gap.from >= to) continue;
    any = true;
    mark(gap, lines, text);
  }
  if (!any) mark({from, to, ""}, lines, text);
}

}  // namespace muster::report
