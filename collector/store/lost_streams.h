// The streams of a launcher that was killed: what their ledger lacks is written by whoever finds
// the store.
#pragma once

#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::store {

// Every stream of a rank that has no end on record ends where its file does, with a gap of unknown
// length: its pipe may have held more.  Only for a run whose launcher is dead.  How many there
// were.
Result<int> end_lost_streams(const RunDirectory& run);

}  // namespace muster::store
