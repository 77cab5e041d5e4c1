// Says FAKE_VERSION and ends with FAKE_STATUS; without them it is a program that says nothing.
#include <cstdio>
#include <cstdlib>

int main() {
  const char* version = std::getenv("FAKE_VERSION");
  const char* status = std::getenv("FAKE_STATUS");
  if (version != nullptr) std::puts(version);
  return status != nullptr ? std::atoi(status) : 0;
}
