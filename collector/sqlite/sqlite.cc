#include "collector/sqlite/sqlite.h"

#include <cmath>
#include <limits>

#include <sqlite3.h>

namespace muster::sqlite {
namespace {

Failure failure(sqlite3* database, const std::string& doing) {
  const std::string why = database == nullptr ? "out of memory" : sqlite3_errmsg(database);
  return fail(ErrorCode::kInternal, doing + ": " + why);
}

std::string name_of(sqlite3* database) {
  const char* name = sqlite3_db_filename(database, "main");
  return name == nullptr || *name == '\0' ? "a database in memory" : name;
}

}  // namespace

Statement::~Statement() {
  sqlite3_finalize(statement_);
}

Statement& Statement::bind(int at, std::int64_t value) {
  sqlite3_bind_int64(statement_, at, value);
  return *this;
}

Statement& Statement::bind(int at, double value) {
  if (std::isnan(value)) {
    sqlite3_bind_null(statement_, at);
  } else {
    sqlite3_bind_double(statement_, at, value);
  }
  return *this;
}

Statement& Statement::bind(int at, std::string_view text) {
  sqlite3_bind_text(statement_, at, text.empty() ? "" : text.data(), static_cast<int>(text.size()),
                    nullptr);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  reset();
  if (code == SQLITE_DONE) return false;
  return failure(database_, "using " + name_of(database_));
}

Result<> Statement::run() {
  MUSTER_TRY(step());
  reset();
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_);
}

std::int64_t Statement::whole(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double Statement::number(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL
             ? std::numeric_limits<double>::quiet_NaN()
             : sqlite3_column_double(statement_, column);
}

std::string Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr
             ? std::string()
             : std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

Result<Database> Database::open(const std::filesystem::path& file, const How& how) {
  const int access =
      how.mode == Mode::kRead ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int links = how.follow_links ? 0 : SQLITE_OPEN_NOFOLLOW;
  sqlite3* opened = nullptr;
  const int code =
      sqlite3_open_v2(file.c_str(), &opened, access | links | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database(opened);
  if (code != SQLITE_OK) return failure(opened, "opening " + file.string());
  sqlite3_busy_timeout(opened, static_cast<int>(how.patience.count()));
  return database;
}

Database::~Database() {
  sqlite3_close_v2(database_);
}

Result<> Database::run(const std::string& sql) {
  if (sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return failure(database_, "using " + name_of(database_));
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
    return failure(database_, "using " + name_of(database_));
  }
  return Statement(database_, statement);
}

Result<std::int64_t> Database::whole(std::string_view sql) {
  MUSTER_TRY_ASSIGN(Statement statement, prepare(sql));
  MUSTER_TRY_ASSIGN(const bool found, statement.step());
  return found ? statement.whole(0) : 0;
}

Result<std::string> Database::text(std::string_view sql) {
  MUSTER_TRY_ASSIGN(Statement statement, prepare(sql));
  MUSTER_TRY_ASSIGN(const bool found, statement.step());
  return found ? statement.text(0) : std::string();
}

std::int64_t Database::last_id() const {
  return sqlite3_last_insert_rowid(database_);
}

bool Database::is_damaged() const {
  const int code = sqlite3_errcode(database_);
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

}  // namespace muster::sqlite
