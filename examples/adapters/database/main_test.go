package main

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/leakcheck"
	"github.com/seed3893aba4/surestart/resilience"
)

// A database is one of those that the pool is tried on.
type database struct {
	driver, dsn string
	forever     string                 // a query that does not end by itself
	open        func(t *testing.T) int // how many files or sockets of it are open
	down, up    func(t *testing.T)     // make it unreachable, and reachable again
	packages    []string               // whose goroutines must be gone
}

func TestSQLite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not there yet")
	path := filepath.Join(dir, "visits.db")
	suite(t, database{
		driver: "sqlite", dsn: path + "?_pragma=busy_timeout(10000)&_txlock=immediate",
		forever: `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n`,
		open:    func(t *testing.T) int { return leakcheck.Files(t, path) },
		down: func(t *testing.T) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		},
		up: func(t *testing.T) {
			if err := os.Mkdir(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		},
		packages: []string{"modernc.org/sqlite", "database/sql"},
	})
}

func TestPostgreSQL(t *testing.T) {
	server := newServer(t)
	on := database{
		driver: "pgx", dsn: server.dsn(),
		forever:  `SELECT count(*) FROM pg_sleep(1000000)`,
		open:     func(t *testing.T) int { return leakcheck.Sockets(t, server.addr) },
		down:     server.stop,
		up:       server.start,
		packages: []string{"jackc/pgx", "database/sql"},
	}
	suite(t, on)

	// It goes away while it is open, and comes back. Meanwhile no use waits for it.
	t.Run("DiesAndReturns", func(t *testing.T) {
		pauses := resilience.NewRetry(resilience.RetryConfig{Pauses: backoff.NewConstantBackOff(100 * time.Millisecond)})
		db := pool(on.driver, on.dsn, fsm.WithRestart(pauses))
		defer db.Close()
		if err := db.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		on.down(t)
		if _, err := db.Wait(t.Context(), fsm.Idle); err != nil {
			t.Fatal(err)
		}
		if err := db.Status().Cause; err == nil {
			t.Error("it died without a cause")
		}
		if err := visit(t.Context(), db, "meanwhile"); !errors.Is(err, fsm.ErrNotStarted) {
			t.Errorf("a visit meanwhile: %v", err)
		}
		on.up(t)
		if err := db.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		if err := visit(t.Context(), db, "afterwards"); err != nil {
			t.Errorf("a visit afterwards: %v", err)
		}
		if err := db.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		on.nothingLeft(t, db)
	})
}

func suite(t *testing.T, on database) {
	// First it is not there; then the same lifecycle is started, by many at once.
	t.Run("DownThenUp", func(t *testing.T) {
		on.down(t)
		db := pool(on.driver, on.dsn)
		defer db.Close()
		var failed *fsm.StartError
		if err := db.Start(t.Context()); !errors.As(err, &failed) || failed.Part != "connection" || failed.Rollback != nil {
			t.Fatalf("Start: %v; want that the connection cannot be made", err)
		}
		on.nothingLeft(t, db)
		on.up(t)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := db.Start(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := db.Status().Attempt; n != 2 {
			t.Errorf("%d attempts; want the one that failed, and one for all", n)
		}
		if err := db.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		on.nothingLeft(t, db)
	})

	// A stop waits for the transaction in flight, and it is committed.
	t.Run("StopDrains", func(t *testing.T) {
		db := on.started(t)
		defer db.Close()
		before, err := visits(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		stopped, written := make(chan error, 1), make(chan error, 1)
		began, commit := make(chan struct{}), make(chan struct{})
		go func() {
			written <- db.Use(context.Background(), func(ctx context.Context, db *sql.DB) error {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					close(began)
					return err
				}
				defer tx.Rollback()
				_, err = tx.ExecContext(ctx, `INSERT INTO visits (who) VALUES ('the last')`)
				close(began)
				<-commit
				return errors.Join(err, tx.Commit())
			})
		}()
		<-began
		go func() { stopped <- db.Stop(context.Background()) }()
		if _, err := db.Wait(t.Context(), fsm.Stopping); err != nil {
			t.Fatal(err)
		}
		if err := visit(t.Context(), db, "too late"); !errors.Is(err, fsm.ErrNotStarted) { // G10
			t.Errorf("a visit during the stop: %v", err)
		}
		if s := db.Status(); s.InFlight != 1 || s.Releasing != "" {
			t.Errorf("%v; want that the stop waits for one use", s)
		}
		close(commit)
		if err := <-written; err != nil {
			t.Errorf("the transaction: %v", err)
		}
		if err := <-stopped; err != nil {
			t.Errorf("Stop: %v", err)
		}
		on.nothingLeft(t, db)
		if err := db.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := visits(t.Context(), db); err != nil || n != before+1 {
			t.Errorf("%d visits, %v; want %d", n, err, before+1)
		}
	})

	// A use that is deaf to its context keeps its connection: the state says so until it
	// gives it back.
	t.Run("StopForcedDeaf", func(t *testing.T) {
		db := on.started(t)
		defer db.Close()
		began, back, ended := make(chan *sql.DB), make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- db.Use(context.Background(), func(ctx context.Context, db *sql.DB) error {
				conn, err := db.Conn(ctx)
				began <- db
				<-back
				return errors.Join(err, conn.Close())
			})
		}()
		opened := <-began
		now, cancel := context.WithCancel(context.Background())
		cancel()
		var cut *fsm.StopError
		if err := db.Stop(now); !errors.As(err, &cut) || cut.CutOff != 1 {
			t.Errorf("Stop: %v; want one use cut off", err)
		}
		leakcheck.Eventually(t, "the pool is being closed", func() string {
			if opened.Ping() == nil {
				return "it is open"
			}
			return ""
		})
		time.Sleep(20 * time.Millisecond) // a moment to be wrong in
		if s := db.Status(); s.State != fsm.Stopping || s.Releasing != "pool" {
			t.Errorf("%v, with %d connections; want that it is still being released", s, opened.Stats().OpenConnections)
		}
		close(back)
		<-ended
		if _, err := db.Wait(t.Context(), fsm.Idle); err != nil {
			t.Fatal(err)
		}
		on.nothingLeft(t, db)
	})

	// A stop whose context ends cuts off the query that would never end.
	t.Run("StopForced", func(t *testing.T) {
		db := on.started(t)
		defer db.Close()
		ended, began := make(chan error, 1), make(chan struct{})
		var opened *sql.DB
		go func() {
			ended <- db.Use(context.Background(), func(ctx context.Context, db *sql.DB) error {
				opened = db
				conn, err := db.Conn(ctx)
				if err != nil {
					close(began)
					return err
				}
				defer conn.Close()
				close(began)
				var n int
				return conn.QueryRowContext(ctx, on.forever).Scan(&n)
			})
		}()
		<-began
		now, cancel := context.WithCancel(context.Background())
		cancel()
		var cut *fsm.StopError
		if err := db.Stop(now); !errors.As(err, &cut) || cut.CutOff != 1 {
			t.Errorf("Stop: %v; want one use cut off", err)
		}
		if err := <-ended; err == nil {
			t.Error("the query went well")
		}
		if _, err := db.Wait(t.Context(), fsm.Idle); err != nil {
			t.Fatal(err)
		}
		if n := opened.Stats().OpenConnections; n > 0 { // G7: at once, not in a while
			t.Errorf("Idle, and %d connections are open", n)
		}
		if err := db.Status().Cause; err != nil {
			t.Errorf("the release: %v", err)
		}
		on.nothingLeft(t, db)
	})

	t.Run("Program", func(t *testing.T) {
		if err := run(t.Context(), on.driver, on.dsn); err != nil {
			t.Error(err)
		}
	})
}

// A caller leaves while the database does not answer. No other caller waits, so the attempt is
// cancelled, and its connection closed (G6). The test needs no server.
func TestStartIsLeft(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	db := pool("pgx", "postgres://nobody@"+deaf.Addr().String()+"/none?sslmode=disable")
	defer db.Close()
	ctx, leave := context.WithCancelCause(t.Context())
	tired := errors.New("tired of waiting")
	started := make(chan error, 1)
	go func() { started <- db.Start(ctx) }()
	conn, err := deaf.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	leave(tired)
	if err := <-started; !errors.Is(err, tired) {
		t.Errorf("Start: %v; want the caller's own reason", err)
	}
	if _, err := db.Wait(t.Context(), fsm.Idle); err != nil {
		t.Fatal(err)
	}
	leakcheck.Nothing(t, []string{deaf.Addr().String()}, []string{"jackc/pgx", "database/sql"})
}

func (on database) started(t *testing.T) *fsm.Lifecycle[*sql.DB] {
	t.Helper()
	db := pool(on.driver, on.dsn)
	if err := db.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if on.open(t) == 0 {
		t.Fatal("it is started, and nothing of the database is open: the test looks at the wrong thing")
	}
	return db
}

func (on database) nothingLeft(t *testing.T, db *fsm.Lifecycle[*sql.DB]) {
	t.Helper()
	if held := db.Status().Held; len(held) > 0 {
		t.Errorf("held: %q", held)
	}
	leakcheck.Eventually(t, "no file or socket of the database", func() string {
		if on.open(t) > 0 {
			return "some"
		}
		return ""
	})
	leakcheck.Nothing(t, nil, on.packages)
}
