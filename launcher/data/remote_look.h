// Whether there is anything at a place of rclone's.  `rclone mount` shows a folder that does not
// exist as an empty one, so whoever finds a mount empty asks once more.
#pragma once

#include <string>
#include <vector>

namespace muster::data {

// What a first read ends with that found nothing; no number of an error.
inline constexpr int kNothingThere = 126;

// `words` are rclone, its options, and the place.  0, or kNothingThere: the folder does not exist,
// or is empty in a store that has no empty folders.  rclone's own words go to stderr.  Anything
// else that goes wrong is not taken for an answer: the mount itself was read.
int look_at_remote(const std::vector<std::string>& words);

}  // namespace muster::data
