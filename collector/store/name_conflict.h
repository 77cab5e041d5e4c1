// Two writers of a run, on two nodes, have a file of the same name in their output folders. Nothing
// fails: the writer with the lowest rank has the plain name, whoever came first.  Pure.
#pragma once

#include <string>
#include <string_view>

namespace muster::store {

struct NameClaim {
  int lowest_rank = 0;  // of the writer
  std::string writer;   // "node-1"
  std::string xxh3;     // of the file's bytes; "" where it is not known
};

enum class NameVerdict {
  kSame,      // the same bytes: one copy does for both
  kKeeps,     // the holder keeps the name, the newcomer gets conflict_name() with its own rank
  kGivesWay,  // the newcomer gets the name, the holder's file becomes conflict_name() with its rank
};

// Independent of who comes first: for any two claims exactly one of them ends with the name.
NameVerdict judge_name(const NameClaim& holder, const NameClaim& newcomer);

// "outputs/model.pt.rank-4"; a name that is too long for it is shortened, with a hash of the whole.
std::string conflict_name(std::string_view path, int lowest_rank);

}  // namespace muster::store
