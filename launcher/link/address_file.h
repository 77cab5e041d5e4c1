// The file on a path that all nodes share by which members find the head: --rendezvous file:PATH.
//
// A head that was killed leaves its file behind, and its port may be somebody else's by now.  So
// the file has a nonce, members show it, and a head turns away whoever shows another one: they read
// the file again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cluster.pb.h"
#include "muster/result.h"

namespace muster::link {

struct HeadPlace {
  std::string nonce;   // of this start of the head; 32 hex digits
  std::string job_id;  // of the scheduler; "": none
  std::uint16_t port = 0;
  std::vector<std::string> hosts;  // addresses and names by which it may be reached, best first
};

// Of a head with these addresses and this name.
HeadPlace place_of(const protocol::Join& own, std::uint16_t port, std::string nonce);

std::string to_text(const HeadPlace& place);
// Errors: kInternal, with what is wrong with it.
Result<HeadPlace> parse_head_place(std::string_view text);

// Whole or not at all, mode 0600.  Errors: kRunDirectory.
Result<> write_head_place(const std::filesystem::path& path, const HeadPlace& place);
// Errors: kInternal: it is not there (yet), or is none.
Result<HeadPlace> read_head_place(const std::filesystem::path& path);
// Where it still has this nonce.
void remove_head_place(const std::filesystem::path& path, const std::string& nonce);

// What a member's handshake shows instead of a run's id, which it does not know yet.
std::string shown_nonce(const std::string& nonce);

}  // namespace muster::link
