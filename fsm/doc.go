// Package fsm makes the start and the stop of a long-lived resource safe under
// concurrency, cancellation and failure.
//
// A [Lifecycle] guards one resource: a Kafka producer, a database handle, a server's
// listener. Any number of goroutines may call Start, any number of times, in every state.
// Starts that run together share one attempt to open the resource, and its outcome.
//
//	l := fsm.New(func(ctx context.Context, s *fsm.Scope) (*sql.DB, error) { // the open
//		db, err := sql.Open("pgx", dsn)
//		if err == nil {
//			s.Defer("pool", func(context.Context) error { return db.Close() }) // a part, and its release
//		}
//		return db, err
//	})
//	defer l.Close()
//	err := l.Start(ctx)
//	err = l.Use(ctx, func(ctx context.Context, db *sql.DB) error { return db.PingContext(ctx) }) // a use
//
// An attempt calls open once or, with WithRetry, several times; each call is a try. Each thing
// that open acquires is a part. Open, and the function that releases a part, are hooks. A use is a
// call of [Lifecycle.Use], or the time from [Lifecycle.Acquire] to the Release of its [Lease].
//
// Your open must register the release of each part as soon as it holds the part, and must return
// soon after its context ends. Stop releases the resource; Start may open it again. After a Shutdown nothing
// opens it again. Close is a Shutdown with a limit of its own, for defer. Run starts the resource,
// waits for the end of a context, and closes the resource.
//
//	Idle ──start──▶ Starting ──opened──▶ Started
//	 ▲                 │ failed, abandoned,  │
//	 │                 │ timeout, died,      │ stop, shutdown,
//	 │                 ▼ stop, shutdown      ▼ died
//	 └──released──── Stopping ◀──────────────┘
//	                   │ released, after a Shutdown
//	                   ▼
//	 Idle ─shutdown─▶ Closed   (final)
//
// Stopping is both the rollback of an attempt, which first waits for open to return, and the
// release of an open resource, which first waits for its uses. A Start that arrives during
// Stopping waits for its end. All such Starts then share one new attempt; after a Shutdown they
// get ErrClosed.
//
// # How it works
//
// At most one operation, an opening attempt or a release, exists at any time. It runs in its own
// goroutine, with a context of its own. Callers join it and wait; they never run it. A caller that
// leaves therefore does not cancel the attempt for the others. When the last caller leaves, the
// attempt is cancelled, unless it is a restart (WithRestart). An Idle, Started or Closed lifecycle
// runs no goroutine, except briefly for observers, log lines, the report to a [Breaker]
// and the call of a restart's [Backoff].
//
// # Guarantees
//
// Comments in this package cite the guarantees G1 to G15 by number. G1 to G13 are properties of the same names
// in the TLA+ specification; G14 and G15 are only tested. The tests of G1, for
// example, are those that go test ./... -run 'TestG1[A-Z]' runs.
//
//	G1  SingleFlight           one operation at a time; N Starts, one open
//	G2  Idempotence            Start when Started, Stop when Idle: nil, and nothing runs
//	G3  StartedIsOpen          if Start returns nil, the resource was open, with all parts, at some moment during the call
//	G4  Rollback               a failed attempt releases what it held, in reverse, before a waiting Start gets the error
//	G5  NoStaleFailure         a Start never gets the error of an attempt that was already failing when Start was called
//	G6  NoForeignCancellation  a caller that leaves does not cancel the attempt for the others
//	G7  NoLeak                 when Idle or Closed, no part is held and no goroutine runs, except as said above
//	G8  StopWins               a Stop during a start cancels it, and waits for its rollback
//	G9  DrainFirst             a release waits for the uses, or is forced and counts those that it cuts off
//	G10 UseOnlyStarted         a use is admitted only when Started; until it ends, only a forced release closes the resource
//	G11 CloseIsFinal           after Shutdown nothing is opened
//	G12 Progress               every call returns if hooks, uses, retries and restarts end; in any case its wait ends once its context ends
//	G13 OwnGeneration          an old attempt, lease or failure report never affects a newer attempt
//	G14 CauseKept              the cause of the last failure is readable until the next successful start
//	G15 NoSelfDeadlock         Start, Stop or Shutdown within a hook or use, with its context, returns ErrReentrant (Start when Started: nil)
//
// # When not to use it
//
// For a value that is computed once and never closed, sync.OnceValue is enough.
//
// # Several resources
//
// Package group combines lifecycles, some of which need others, into one.
package fsm
