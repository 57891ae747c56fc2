/// MpiCommunicator: the ranks of a job of MPI. Needs MPI's header: link `attn::mpi`.
#pragma once

#include "attn/io/failed_run.hpp"
#include "attn/io/launch.hpp"
#include "attn/train/distributed/communicator.hpp"
#include "attn/train/distributed/detail/worker.hpp"
#include "attn/train/distributed/sharing_options.hpp"
#include "attn/train/trace.hpp"

#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace attn::train {

/// The processes that mpirun or srun started. Where they did not start this one, it is alone and MPI is left in peace;
/// a program that has begun MPI itself shares its world.
///
/// Slices in the memory of hosts are summed by a thread of its own while the caller goes on. Slices of devices are
/// brought to the host and back, and the caller waits: use `NcclCommunicator` there. A rank sends and receives
/// 2 (R - 1) / R of the bytes of a slice in either way of summing, if MPI does its work well.
///
/// Destroyed by an exception, it leaves MPI as it is, so that the launcher ends the other ranks.
class MpiCommunicator {
 public:
  explicit MpiCommunicator(MpiOptions const& options = {}) : options_(options) {
    io::Launch const launch = io::launch();
    int begun = 0;
    MPI_Initialized(&begun);
    if (begun == 0 && launch.size == 1) return;
    int thread = MPI_THREAD_SINGLE;
    if (begun == 0) {
      check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &thread), "beginning MPI");
      finalizes_ = true;
    } else {
      MPI_Query_thread(&thread);
    }
    check(MPI_Comm_dup(MPI_COMM_WORLD, &world_), "beginning MPI");
    MPI_Comm_set_errhandler(world_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(world_, &rank_);
    MPI_Comm_size(world_, &size_);
    ATTN_CHECK(begun != 0 || size_ == launch.size, "MpiCommunicator: start the program with the ", launch.by,
               " of the MPI that it was built with; this one started ", launch.size, " processes, and MPI knows of ",
               size_);
    if (thread >= MPI_THREAD_SERIALIZED && size_ > 1) worker_.begin();
  }
  MpiCommunicator(MpiCommunicator const&) = delete;
  MpiCommunicator& operator=(MpiCommunicator const&) = delete;
  ~MpiCommunicator() {
    gives_up_ = std::uncaught_exceptions() > 0 || !broken_.empty();
    worker_.end();
    if (world_ == MPI_COMM_NULL) return;
    if (gives_up_) return;
    MPI_Comm_free(&world_);
    if (finalizes_) MPI_Finalize();
  }

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// Bytes that this rank has sent for sums and gathered slices.
  double sent() const { return sent_; }

  /// Where sums are noted, if they are to be.
  Trace* trace = nullptr;

  template <class Exec, class T>
  void start(Exec const& exec, Tensor<T, 1, typename Exec::memory_space> const& slice) {
    if (size_ == 1 || slice.extent(0) == 0) return;
    exec.fence("attn::train::MpiCommunicator");
    if constexpr (HostExecutionSpace<Exec>) {
      worker_.add([this, slice] { guarded([&] { sum_slice(slice.data(), slice.extent(0)); }); });
    } else {
      through_host(exec, slice, [this](T* x, Index n) { sum_slice(x, n); });
    }
  }
  template <class Exec>
  void finish(Exec const&) {
    worker_.wait();
  }

  template <class Exec, class T>
  void gather_slices(Exec const& exec, Tensor<T, 1, typename Exec::memory_space> const& all) {
    if (size_ == 1) return;
    exec.fence("attn::train::MpiCommunicator");
    auto const gather = [this](T* x, Index n) { guarded([&] { gather_stretches(x, n, "gathering parameters"); }); };
    worker_.wait();
    if constexpr (HostExecutionSpace<Exec>) {
      gather(all.data(), all.extent(0));
    } else {
      through_host(exec, all, gather);
    }
  }

  void sum(std::span<double> numbers) {
    if (size_ == 1 || numbers.empty()) return;
    worker_.wait();
    guarded([&] {
      std::vector<double> all(numbers.size() * std::size_t(size_));
      int const n = count_of(Index(numbers.size()));
      MPI_Request request{};
      check(MPI_Iallgather(numbers.data(), n, MPI_DOUBLE, all.data(), n, MPI_DOUBLE, world_, &request),
            "adding numbers");
      wait(&request, 1, "adding numbers");
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        numbers[i] = 0;
        for (std::size_t r = 0; r < std::size_t(size_); ++r) numbers[i] += all[r * numbers.size() + i];
      }
    });
  }

  std::vector<std::string> gather(std::string const& record) {
    if (size_ == 1) return {record};
    worker_.wait();
    std::vector<std::string> all(static_cast<std::size_t>(size_));
    guarded([&] {
      int const mine = count_of(Index(record.size()));
      std::vector<int> sizes(all.size()), places(all.size());
      MPI_Request request{};
      check(MPI_Iallgather(&mine, 1, MPI_INT, sizes.data(), 1, MPI_INT, world_, &request), "gathering records");
      wait(&request, 1, "gathering records");
      Index end = 0;
      for (std::size_t r = 0; r < all.size(); ++r) {
        places[r] = count_of(end);
        end += sizes[r];
      }
      std::string text(std::size_t(count_of(end)), ' ');
      check(MPI_Iallgatherv(record.data(), mine, MPI_CHAR, text.data(), sizes.data(), places.data(), MPI_CHAR, world_,
                            &request),
            "gathering records");
      wait(&request, 1, "gathering records");
      for (std::size_t r = 0; r < all.size(); ++r) all[r] = text.substr(std::size_t(places[r]), std::size_t(sizes[r]));
    });
    return all;
  }

  void barrier() {
    if (size_ == 1) return;
    worker_.wait();
    guarded([&] {
      MPI_Request request{};
      check(MPI_Ibarrier(world_, &request), "waiting for the others");
      wait(&request, 1, "waiting for the others");
    });
  }

 private:
  using Clock = std::chrono::steady_clock;

  template <class T>
  static MPI_Datatype type_of() {
    static_assert(std::same_as<T, float> || std::same_as<T, double>, "MpiCommunicator: sum floats or doubles");
    return std::same_as<T, float> ? MPI_FLOAT : MPI_DOUBLE;
  }

  static int count_of(Index n) {
    ATTN_CHECK(n <= std::numeric_limits<int>::max(), "MpiCommunicator: give slices of at most ",
               std::numeric_limits<int>::max(), " numbers, got ", n);
    return static_cast<int>(n);
  }

  void check(int code, char const* doing) const {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw io::FailedRun("rank " + std::to_string(rank_) + " of " + std::to_string(size_) + ": " + doing +
                        " failed: " + std::string(text, std::size_t(length)));
  }

  /// Does it, unless something failed before.
  template <class Function>
  void guarded(Function const& function) {
    if (!broken_.empty()) throw io::FailedRun("MpiCommunicator: end this run, for " + broken_);
    try {
      function();
    } catch (std::exception const& error) {
      broken_ = error.what();
      throw;
    }
  }

  /// Polls, since the waits of MPI keep a core busy that computes.
  void wait(MPI_Request* requests, int count, char const* doing) {
    Clock::time_point const begun = Clock::now();
    for (int polls = 0;; ++polls) {
      int done = 0;
      check(MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE), doing);
      if (done != 0) return;
      if (gives_up_) throw io::FailedRun("MpiCommunicator: the run is over");
      if (polls < 100) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
      if (polls % 1024 == 0 && Clock::now() - begun > std::chrono::duration<double>(options_.patience)) {
        throw io::FailedRun("rank " + std::to_string(rank_) + " of " + std::to_string(size_) + ": " + doing +
                            " failed: another rank has not answered for " +
                            std::to_string(static_cast<long>(options_.patience)) + " s");
      }
    }
  }

  template <class T>
  void sum_slice(T* x, Index n) {
    double const bytes = 2.0 * double(n) * sizeof(T) * (size_ - 1) / size_;
    Trace::Span const span(trace, "sum", Trace::communicating, bytes);
    Clock::time_point const begun = Clock::now();
    if (options_.ordered) {
      add_own_stretch(x, n);
      gather_stretches(x, n, "adding gradients");
    } else {
      MPI_Request request{};
      check(MPI_Iallreduce(MPI_IN_PLACE, x, count_of(n), type_of<T>(), MPI_SUM, world_, &request), "adding gradients");
      wait(&request, 1, "adding gradients");
      sent_ = sent_ + bytes;
    }
    if (options_.bandwidth > 0) {
      std::this_thread::sleep_until(begun + std::chrono::duration_cast<Clock::duration>(
                                                std::chrono::duration<double>(bytes / options_.bandwidth)));
    }
  }

  /// The sum over ranks of this rank's stretch of x, in the order of ranks.
  template <class T>
  void add_own_stretch(T* x, Index n) {
    Stretch const own = stretch_of(n, rank_, size_);
    Index const mine = own.extent();
    room_.resize(std::max(room_.size(), std::size_t(mine) * std::size_t(size_) * sizeof(T)));
    T* const parts = reinterpret_cast<T*>(room_.data());  // (ranks, mine)
    requests_.clear();
    for_others([&](int from, int to) {
      receive(parts + from * mine, mine, from);
      send(x, stretch_of(n, to, size_), to);
    });
    T* const sum = x + own.first;
    std::copy_n(sum, mine, parts + rank_ * mine);
    wait(requests_.data(), int(requests_.size()), "adding gradients");
    std::copy_n(parts, mine, sum);
    for (int r = 1; r < size_; ++r) {
      T const* const more = parts + r * mine;
      for (Index i = 0; i < mine; ++i) sum[i] += more[i];
    }
  }

  /// Gives the own stretch of x to all, and takes theirs.
  template <class T>
  void gather_stretches(T* x, Index n, char const* doing) {
    requests_.clear();
    for_others([&](int from, int to) {
      Stretch const theirs = stretch_of(n, from, size_);
      receive(x + theirs.first, theirs.extent(), from);
      send(x, stretch_of(n, rank_, size_), to);
    });
    wait(requests_.data(), int(requests_.size()), doing);
  }

  /// Calls f(from, to) for all others, each rank in an order of its own, so that not all send to one.
  template <class Function>
  void for_others(Function const& f) {
    for (int k = 1; k < size_; ++k) f((rank_ - k + size_) % size_, (rank_ + k) % size_);
  }
  template <class T>
  void receive(T* to, Index n, int from) {
    check(MPI_Irecv(to, count_of(n), type_of<T>(), from, 0, world_, &requests_.emplace_back()), "receiving");
  }
  template <class T>
  void send(T const* x, Stretch const& stretch, int to) {
    check(MPI_Isend(x + stretch.first, count_of(stretch.extent()), type_of<T>(), to, 0, world_,
                    &requests_.emplace_back()),
          "sending");
    sent_ = sent_ + double(stretch.extent()) * sizeof(T);
  }

  /// Calls f(numbers, count) with a copy on the host, and brings the result back.
  template <class Exec, class T, class Function>
  void through_host(Exec const& exec, Tensor<T, 1, typename Exec::memory_space> const& slice, Function const& f) {
    using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
    auto const n = static_cast<std::size_t>(slice.extent(0));
    Kokkos::View<T*, typename Exec::memory_space, Unmanaged> const there(slice.data(), n);
    Kokkos::View<T*, Kokkos::HostSpace> const here(
        Kokkos::view_alloc("attn::train::slice", Kokkos::WithoutInitializing), n);
    Kokkos::deep_copy(exec, here, there);
    exec.fence("attn::train::MpiCommunicator");
    f(here.data(), slice.extent(0));
    Kokkos::deep_copy(exec, there, here);
    exec.fence("attn::train::MpiCommunicator");
  }

  MpiOptions options_;
  MPI_Comm world_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  bool finalizes_ = false;
  std::atomic<bool> gives_up_ = false;
  std::atomic<double> sent_ = 0;
  std::string broken_;           // what failed
  std::vector<std::byte> room_;  // of what others send
  std::vector<MPI_Request> requests_;
  detail::Worker worker_;  // last: it uses all of the above
};

}  // namespace attn::train
