// The streams of a launcher that was killed: what their ledger lacks is written by whoever finds
// the store.
#pragma once

#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::store {

// Every stream that has no end on record ends where its file does, one of a rank with a gap of
// unknown length: its pipe may have held more.  After the end of the machine what its disk forgot
// is a gap, what is not certain is said with the end, and files of records end before the first one
// that is torn.  What was half copied goes.  Only for a run whose launcher is dead.  How many
// streams of ranks there were.
Result<int> end_lost_streams(const RunDirectory& run);

}  // namespace muster::store
