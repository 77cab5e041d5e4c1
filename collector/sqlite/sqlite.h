// SQLite, as far as we need it: the owners of a connection and of a prepared statement.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "muster/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace muster::sqlite {

// What is bound lives until the next step() has been called.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept
      : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}
  Statement& operator=(Statement&& other) noexcept {
    std::swap(database_, other.database_);
    std::swap(statement_, other.statement_);
    return *this;
  }
  ~Statement();

  Statement& bind(int at, std::int64_t value);
  Statement& bind(int at, double value);  // NaN is NULL
  Statement& bind(int at, std::string_view text);

  // True: there is a row.  After the last one, and after an error, the statement is ready again.
  Result<bool> step();
  // For statements without rows, and those whose other rows do not matter.
  Result<> run();
  void reset();

  std::int64_t whole(int column) const;
  double number(int column) const;  // NULL is NaN
  std::string text(int column) const;

 private:
  friend class Database;
  Statement(sqlite3* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}

  sqlite3* database_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

class Database {
 public:
  enum class Mode { kRead, kWrite };

  struct How {
    Mode mode = Mode::kWrite;
    std::chrono::milliseconds patience{5000};  // with one that another process writes
    bool follow_links = true;
  };

  // ":memory:" is a path, too.  Errors: kInternal, with SQLite's words.
  static Result<Database> open(const std::filesystem::path& file, const How& how);
  Database() = default;
  Database(Database&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Database& operator=(Database&& other) noexcept {
    std::swap(database_, other.database_);
    return *this;
  }
  ~Database();

  Result<> run(const std::string& sql);
  Result<Statement> prepare(std::string_view sql);
  // The first column of the first row.
  Result<std::int64_t> whole(std::string_view sql);
  Result<std::string> text(std::string_view sql);

  std::int64_t last_id() const;
  // Why the last call failed: the file is none of SQLite's, or is broken.
  bool is_damaged() const;

 private:
  explicit Database(sqlite3* database) : database_(database) {}
  sqlite3* database_ = nullptr;
};

}  // namespace muster::sqlite
