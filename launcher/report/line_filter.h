// Which lines `muster logs --grep` shows: by a regular expression whose search takes time linear in
// the text, whatever the expression.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "muster/result.h"

namespace muster::report {

class LineFilter {
 public:
  // Errors: kUsage, with what is wrong and where.
  static Result<LineFilter> create(const std::string& pattern);

  // Of a line as it is shown, without its prefix; colours do not count.
  bool matches(std::string_view shown) const;

 private:
  struct Compiled;
  explicit LineFilter(std::shared_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}

  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace muster::report
