// XXH3-128: whether stored bytes are those that were written.  It finds mistakes, not attackers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace muster::store {

class Digest {
 public:
  Digest();
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  void update(std::string_view bytes);
  void update_zeros(std::uint64_t count);
  std::string hex() const;  // of what came until now: 32 digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string digest_of(std::string_view bytes);

}  // namespace muster::store
