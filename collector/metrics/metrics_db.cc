#include "collector/metrics/metrics_db.h"

#include <algorithm>
#include <limits>

namespace muster::metrics {
namespace {

constexpr std::int64_t kApplication = 0x4d555354;  // "MUST"
constexpr std::int64_t kVersion = 1;

constexpr const char* kSchema = R"(
  CREATE TABLE series(
    id INTEGER PRIMARY KEY, stream TEXT NOT NULL, rank INTEGER NOT NULL, node TEXT NOT NULL,
    name TEXT NOT NULL, labels TEXT NOT NULL, source TEXT NOT NULL,
    next_step INTEGER NOT NULL, last_time INTEGER NOT NULL, UNIQUE(stream, name, labels));
  CREATE TABLE points(
    series INTEGER NOT NULL, step INTEGER NOT NULL, time INTEGER NOT NULL, value REAL,
    PRIMARY KEY(series, step, time)) WITHOUT ROWID;
  CREATE TABLE cursors(
    stream TEXT PRIMARY KEY, position INTEGER NOT NULL, generation INTEGER NOT NULL,
    bad INTEGER NOT NULL, example TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE refused(id INTEGER PRIMARY KEY, points INTEGER NOT NULL);
)";

Result<bool> is_new(Database& database) {
  MUSTER_TRY_ASSIGN(const auto tables, database.whole("SELECT count(*) FROM sqlite_master"));
  return tables == 0;
}

Result<bool> is_ours(Database& database) {
  MUSTER_TRY_ASSIGN(const auto application, database.whole("PRAGMA application_id"));
  MUSTER_TRY_ASSIGN(const auto version, database.whole("PRAGMA user_version"));
  return application == kApplication && version == kVersion;
}

// By a transaction of its own: two that open a new file at once must not both make its tables.
Result<> make_tables(Database& database) {
  MUSTER_TRY(database.run("BEGIN IMMEDIATE"));
  MUSTER_TRY_ASSIGN(const bool empty, is_new(database));
  if (empty) {
    MUSTER_TRY(database.run(kSchema));
    MUSTER_TRY(database.run("PRAGMA application_id=" + std::to_string(kApplication) +
                            "; PRAGMA user_version=" + std::to_string(kVersion)));
  }
  return database.run("COMMIT");
}

// A write-ahead log needs shared memory; its first use tells whether there is any.
bool can_be_shared(Database& database) {
  const auto mode = database.text("PRAGMA journal_mode=WAL");
  return mode && *mode == "wal" && database.whole("SELECT count(*) FROM sqlite_master");
}

Result<> prepare_alone(Database& database) {
  MUSTER_TRY(database.run("PRAGMA locking_mode=EXCLUSIVE"));
  return database.run("PRAGMA journal_mode=TRUNCATE");
}

}  // namespace

Result<MetricsDb> MetricsDb::open(const std::filesystem::path& file, Sharing sharing) {
  MetricsDb db;
  MUSTER_TRY_ASSIGN(db.database_, Database::open(file, {Database::Mode::kWrite}));
  if (sharing == Sharing::kAlone || !can_be_shared(db.database_)) {
    if (sharing == Sharing::kShared) {  // without what the attempt has left
      db.database_ = Database();
      MUSTER_TRY_ASSIGN(db.database_, Database::open(file, {Database::Mode::kWrite}));
    }
    MUSTER_TRY(prepare_alone(db.database_));
  }
  MUSTER_TRY(db.database_.run("PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16384"));
  MUSTER_TRY(make_tables(db.database_));
  MUSTER_TRY_ASSIGN(const bool ours, is_ours(db.database_));
  if (!ours) {
    return fail(ErrorCode::kInternal, file.string() + " is a database of something else");
  }
  MUSTER_TRY(db.prepare_all());
  return db;
}

Result<> MetricsDb::prepare_all() {
  const auto make = [this](Statement& statement, std::string_view sql) -> Result<> {
    MUSTER_TRY_ASSIGN(statement, database_.prepare(sql));
    return {};
  };
  MUSTER_TRY(make(insert_point_,
                  "INSERT OR REPLACE INTO points(series, step, time, value) VALUES(?,?,?,?)"));
  MUSTER_TRY(make(insert_series_,
                  "INSERT INTO series(stream, rank, node, name, labels, source, next_step, "
                  "last_time) VALUES(?,?,?,?,?,?,0,0)"));
  MUSTER_TRY(make(update_series_, "UPDATE series SET next_step=?, last_time=? WHERE id=?"));
  MUSTER_TRY(make(select_series_,
                  "SELECT id, name, labels, next_step, last_time FROM series WHERE stream=?"));
  MUSTER_TRY(make(insert_cursor_,
                  "INSERT OR REPLACE INTO cursors(stream, position, generation, bad, example) "
                  "VALUES(?,?,?,?,?)"));
  MUSTER_TRY(make(select_cursor_,
                  "SELECT position, generation, bad, example FROM cursors WHERE stream=?"));
  MUSTER_TRY(make(refuse_,
                  "INSERT INTO refused(id, points) VALUES(1, ?) "
                  "ON CONFLICT(id) DO UPDATE SET points=points+excluded.points"));
  MUSTER_TRY(make(version_, "PRAGMA data_version"));
  MUSTER_TRY(make(select_points_,
                  "SELECT step, time, value FROM points WHERE series=? ORDER BY step, time"));
  return make(select_last_,
              "SELECT step, time, value FROM points WHERE series=? ORDER BY step DESC, time DESC "
              "LIMIT 1");
}

Result<> MetricsDb::begin() {
  MUSTER_TRY(database_.run("BEGIN IMMEDIATE"));
  if (auto checked = forget_if_others_wrote(); !checked) {
    roll_back();
    return checked;
  }
  return {};
}

Result<> MetricsDb::forget_if_others_wrote() {
  MUSTER_TRY(version_.step());
  const std::int64_t version = version_.whole(0);
  version_.reset();
  if (version == data_version_) return {};
  data_version_ = version;
  states_.clear();
  MUSTER_TRY_ASSIGN(series_count_, database_.whole("SELECT count(*) FROM series"));
  return {};
}

Result<> MetricsDb::commit() {
  auto done = database_.run("COMMIT");
  if (!done) roll_back();
  return done;
}

void MetricsDb::roll_back() {
  static_cast<void>(database_.run("ROLLBACK"));
  states_.clear();
  data_version_ = -1;
}

Result<Cursor> MetricsDb::cursor(const std::string& stream) {
  Cursor cursor;
  MUSTER_TRY_ASSIGN(const bool found, select_cursor_.bind(1, stream).step());
  if (!found) return cursor;
  cursor.offset = static_cast<std::uint64_t>(select_cursor_.whole(0));
  cursor.generation = static_cast<std::uint64_t>(select_cursor_.whole(1));
  cursor.bad = static_cast<std::uint64_t>(select_cursor_.whole(2));
  cursor.example = select_cursor_.text(3);
  select_cursor_.reset();
  return cursor;
}

Result<MetricsDb::States*> MetricsDb::states_of(const Origin& origin) {
  const auto [place, added] = states_.try_emplace(origin.stream);
  if (!added) return &place->second;
  select_series_.bind(1, origin.stream);
  while (true) {
    MUSTER_TRY_ASSIGN(const bool found, select_series_.step());
    if (!found) return &place->second;
    place->second.emplace(
        select_series_.text(1) + '\0' + select_series_.text(2),
        State{select_series_.whole(0), select_series_.whole(3), select_series_.whole(4), false});
  }
}

// Null when there are too many series already.
Result<MetricsDb::State*> MetricsDb::state_of(const Origin& origin, States& states,
                                              const Sample& sample) {
  key_ = sample.name;
  key_ += '\0';
  key_ += sample.labels;
  if (const auto known = states.find(key_); known != states.end()) return &known->second;
  if (series_count_ >= kMostSeries) return static_cast<State*>(nullptr);
  MUSTER_TRY(insert_series_.bind(1, origin.stream)
                 .bind(2, std::int64_t{origin.rank})
                 .bind(3, origin.node)
                 .bind(4, sample.name)
                 .bind(5, sample.labels)
                 .bind(6, origin.source)
                 .run());
  ++series_count_;
  return &states.emplace(key_, State{database_.last_id(), 0, 0, false}).first->second;
}

Result<> MetricsDb::add(const Origin& origin, const Cursor& after,
                        std::span<const Sample> samples) {
  std::int64_t refused = 0;
  States* states = nullptr;
  if (!samples.empty()) {
    MUSTER_TRY_ASSIGN(states, states_of(origin));
  }
  std::vector<State*> changed;
  for (const Sample& sample : samples) {
    MUSTER_TRY_ASSIGN(State* const state, state_of(origin, *states, sample));
    if (state == nullptr) {
      ++refused;
      continue;
    }
    std::int64_t time = sample.time.value_or(0);
    // Two values that only arrived at the same time are two.
    if (sample.arrived || !sample.time) time = std::max(time, state->last_time + 1);
    const std::int64_t step = sample.step.value_or(state->next_step);
    MUSTER_TRY(
        insert_point_.bind(1, state->id).bind(2, step).bind(3, time).bind(4, sample.value).run());
    const bool moved = time > state->last_time || step >= state->next_step;
    if (step >= state->next_step && step < std::numeric_limits<std::int64_t>::max()) {
      state->next_step = step + 1;
    }
    state->last_time = std::max(state->last_time, time);
    if (moved && !state->changed) {
      state->changed = true;
      changed.push_back(state);
    }
  }
  for (State* state : changed) {
    state->changed = false;
    MUSTER_TRY(update_series_.bind(1, state->next_step)
                   .bind(2, state->last_time)
                   .bind(3, state->id)
                   .run());
  }
  if (refused > 0) MUSTER_TRY(refuse_.bind(1, refused).run());
  return insert_cursor_.bind(1, origin.stream)
      .bind(2, static_cast<std::int64_t>(after.offset))
      .bind(3, static_cast<std::int64_t>(after.generation))
      .bind(4, static_cast<std::int64_t>(after.bad))
      .bind(5, after.example)
      .run();
}

Result<std::vector<Series>> MetricsDb::series() {
  std::vector<Series> all;
  MUSTER_TRY_ASSIGN(Statement select,
                    database_.prepare("SELECT id, rank, node, name, labels, source FROM series "
                                      "ORDER BY name, labels, source, rank, node, id"));
  while (true) {
    MUSTER_TRY_ASSIGN(const bool found, select.step());
    if (!found) return all;
    all.push_back({select.whole(0), static_cast<int>(select.whole(1)), select.text(2),
                   select.text(3), select.text(4), select.text(5)});
  }
}

Result<> MetricsDb::points(std::int64_t series, const std::function<void(const Point&)>& each) {
  select_points_.bind(1, series);
  while (true) {
    MUSTER_TRY_ASSIGN(const bool found, select_points_.step());
    if (!found) return {};
    each({select_points_.whole(0), select_points_.whole(1), select_points_.number(2)});
  }
}

Result<std::optional<Point>> MetricsDb::last_point(std::int64_t series) {
  MUSTER_TRY_ASSIGN(const bool found, select_last_.bind(1, series).step());
  if (!found) return std::optional<Point>();
  const Point point{select_last_.whole(0), select_last_.whole(1), select_last_.number(2)};
  select_last_.reset();
  return std::optional(point);
}

Result<std::vector<BadLines>> MetricsDb::bad_lines() {
  std::vector<BadLines> all;
  MUSTER_TRY_ASSIGN(
      Statement select,
      database_.prepare("SELECT stream, bad, example FROM cursors WHERE bad > 0 ORDER BY stream"));
  while (true) {
    MUSTER_TRY_ASSIGN(const bool found, select.step());
    if (!found) return all;
    all.push_back({select.text(0), static_cast<std::uint64_t>(select.whole(1)), select.text(2)});
  }
}

Result<std::int64_t> MetricsDb::refused_points() {
  return database_.whole("SELECT coalesce(sum(points), 0) FROM refused");
}

Result<> MetricsDb::write_copy(const std::filesystem::path& file) {
  MUSTER_TRY_ASSIGN(Statement copy, database_.prepare("VACUUM INTO ?"));
  return copy.bind(1, std::string_view(file.native())).run();
}

void MetricsDb::settle() {
  static_cast<void>(database_.text("PRAGMA journal_mode=DELETE"));
}

bool is_unusable_database(const std::filesystem::path& file) {
  auto database = Database::open(file, {Database::Mode::kWrite});
  if (!database) return false;  // not permitted, no such file: not the file's fault
  const auto empty = is_new(*database);
  if (!empty) return database->is_damaged();
  if (*empty) return false;
  const auto ours = is_ours(*database);
  return ours ? !*ours : database->is_damaged();
}

}  // namespace muster::metrics
