// How every Muster library reports failure: a value or one Error.
//
// Libraries return Result<T> and never print; programs print an Error once, with format_error() of
// base/error_text.h.  Exceptions mean "this program is wrong or out of memory" and end in main().
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace muster {

// Each class of error has one exit code (base/exit_code.h).
enum class ErrorCode {
  kUsage,         // a command line that makes no sense
  kConfig,        // a run config that cannot be read or contradicts itself
  kResources,     // the node lacks what the run needs: cores, GPUs, limits, an mpirun
  kInternal,      // Muster or a program that it relies on broke
  kRunDirectory,  // the run directory cannot be written
  kData,          // source, data or mounts
  kTimeout,       // the ranks did not all start in time
  kPermission,    // not permitted, or a wrong token
  kDelivery,      // the collector is away, and not everything has been delivered
  kStopped,       // somebody asked to stop before the ranks had started
};

// A place in a text that a person wrote.  line and column count from 1; 0 means unknown.
struct Location {
  std::string file;
  int line = 0;
  int column = 0;
  std::string source_line;  // the text of that line, for the caret; may be empty
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;    // what was tried, on what, why it failed; lower case, no full stop
  std::string hint = {};  // what to do; may be empty
  std::optional<Location> location = {};

  // "opening run.yaml: permission denied" from "permission denied".
  Error with_context(std::string_view doing) && {
    message = std::string(doing) + ": " + message;
    return std::move(*this);
  }

  Error with_hint(std::string text) && {
    hint = std::move(text);
    return std::move(*this);
  }
};

template <typename T = void>
using Result = tl::expected<T, Error>;

using Failure = tl::unexpected<Error>;

inline Failure fail(ErrorCode code, std::string message, std::string hint = {}) {
  return Failure(Error{code, std::move(message), std::move(hint), std::nullopt});
}

}  // namespace muster

// Evaluates a Result<>; returns its error from the enclosing function.
#define MUSTER_TRY(expression)                                  \
  do {                                                          \
    if (auto muster_try_ = (expression); !muster_try_)          \
      return ::muster::Failure(std::move(muster_try_).error()); \
  } while (false)

#define MUSTER_CONCAT_IMPL(a, b) a##b
#define MUSTER_CONCAT(a, b) MUSTER_CONCAT_IMPL(a, b)
#define MUSTER_TRY_ASSIGN_IMPL(temporary, declaration, expression)            \
  auto temporary = (expression);                                          \
  if (!temporary) return ::muster::Failure(std::move(temporary).error()); \
  declaration = std::move(*temporary)

// MUSTER_TRY_ASSIGN(auto text, read_file(path)): the value, or returns the error.
#define MUSTER_TRY_ASSIGN(declaration, expression) \
  MUSTER_TRY_ASSIGN_IMPL(MUSTER_CONCAT(muster_try_, __LINE__), declaration, expression)
