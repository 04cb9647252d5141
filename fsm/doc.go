// Package fsm makes the start and stop of a long-lived resource safe under
// concurrency, cancellation and failure.
//
// A [Lifecycle] guards one resource: a Kafka producer, a database handle, a
// server's listener. Start may be called from anywhere, any number of times, at
// any moment: the resource is opened once, or not at all.
//
//	Idle ──start──▶ Starting ──opened──▶ Started
//	 ▲                 │ failed, abandoned,  │
//	 │                 │ timeout, died,      │ stop, shutdown,
//	 │                 ▼ stop, shutdown      ▼ died
//	 └──released──── Stopping ◀──────────────┘
//	                   │ closed (when closing)
//	                   ▼
//	 Idle ─shutdown─▶ Closed   (final)
//
// Stopping is both the rollback of a failed attempt and the release of a running
// resource: in both, parts are being given back, and nobody may join.
//
// # How it works
//
// One operation, an opening attempt or a release, exists at a time. It runs in
// its own goroutine, on a context of its own. Callers join it and wait; they
// never run it, so a caller that gives up takes nobody with it. While Idle,
// Started or Closed no goroutine of the library runs.
//
// # What is promised
//
// The guarantees G1 to G15 that the comments cite are properties of the same
// name in the TLA+ specification, and the tests of this package bear their names:
//
//	G1  SingleFlight           one operation at a time; N Starts, one open
//	G2  Idempotence            Start of a started one, Stop of an idle one: nil, nothing runs
//	G3  StartedIsOpen          Start returned nil: it was open, all parts held
//	G4  Rollback               a failed attempt gives back what it held, in reverse, first
//	G5  NoStaleFailure         nobody gets the error of an attempt that he came too late for
//	G6  NoForeignCancellation  a caller that gives up leaves alone
//	G7  NoLeak                 Idle or Closed: no part, no goroutine
//	G8  StopWins               a Stop during a start cancels it, and waits for its rollback
//	G9  DrainFirst             a release waits for the uses, or is forced and says how many it cut off
//	G10 UseOnlyStarted         a use is admitted only while Started, and never closed under unforced
//	G11 CloseIsFinal           after Shutdown nothing is opened, ever
//	G12 Progress               every call returns; whatever the hooks do, promptly once its context ends
//	G13 OwnGeneration          an old attempt, lease or failure report never affects a newer one
//	G14 CauseKept              why it failed is readable until the next successful start
//	G15 NoSelfDeadlock         a call with the context that its own open, release or use was given returns ErrReentrant
//
// # When not to use it
//
// For a value that is computed once and never closed, sync.OnceValue is enough.
// For a tree of services with restarts, a supervisor is what you want; a
// Lifecycle can be one of its leaves.
package fsm
