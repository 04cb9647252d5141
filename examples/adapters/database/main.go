// Command database is a database/sql pool as a resource. It is Started when the database has
// answered and the schema exists (G3). When the database no longer answers, the resource dies, and
// fsm.WithRestart starts it again. A failed start leaves no connection (G4). A stop waits for the
// transactions in flight or cuts them off (G9). Then no connection is open (G7), which DB.Close
// alone does not ensure.
//
//	go run ./database                                      SQLite, in a file of its own
//	go run ./database -driver pgx -dsn postgres://localhost/test
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // pgx: PostgreSQL
	_ "modernc.org/sqlite"             // sqlite, in pure Go

	"github.com/seed3893aba4/surestart/fsm"
)

const schema = `CREATE TABLE IF NOT EXISTS visits (who TEXT NOT NULL)`

// patience is how long the database may take to answer.
const patience = 5 * time.Second

// pool returns a database handle that is opened once, however many ask.
func pool(driver, dsn string, opts ...fsm.Option) *fsm.Lifecycle[*sql.DB] {
	return fsm.New(func(ctx context.Context, s *fsm.Scope) (*sql.DB, error) {
		s.Part("pool")
		db, err := sql.Open(driver, dsn) // connects to nothing yet
		if err != nil {
			return nil, err
		}
		s.Defer("pool", func(ctx context.Context) error {
			return errors.Join(db.Close(), emptied(ctx, db))
		})
		try, cancel := context.WithTimeout(ctx, patience) // WithStartTimeout would bound all tries of a Retry together
		defer cancel()
		s.Part("connection")
		if err := db.PingContext(try); err != nil {
			return nil, err
		}
		s.Part("schema")
		if _, err := db.ExecContext(try, schema); err != nil {
			return nil, err
		}
		s.Part("watch")
		watch(ctx, s, db)
		return db, nil
	}, opts...)
}

// watch reports a death when the database does not answer. The pool would connect again by itself,
// but meanwhile each caller would wait for it, and the program would count as ready. If all
// connections of a limited pool (SetMaxOpenConns) are in use for longer than patience, that is a
// death, too.
func watch(ctx context.Context, s *fsm.Scope, db *sql.DB) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.Tick(time.Second); ; {
			select {
			case <-tick:
			case <-ctx.Done(): // just before the first release
				return
			}
			ping, cancel := context.WithTimeout(ctx, patience)
			err := db.PingContext(ping)
			cancel()
			if err != nil {
				s.Fail(err) // without effect once it is being released
				return
			}
		}
	}()
	s.Defer("watch", func(context.Context) error { <-done; return nil })
}

// emptied waits until no connection is open. Close does not wait for those in use:
// after a forced stop they go when their queries have noticed the end of their context.
func emptied(ctx context.Context, db *sql.DB) error {
	tick := time.NewTicker(time.Millisecond) // database/sql has no notification
	defer tick.Stop()
	for db.Stats().OpenConnections > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d connections are still in use", db.Stats().OpenConnections)
		}
	}
	return nil
}

// visit is one piece of work: the pool is not closed under it, and its statements
// end when the drain is cut short.
func visit(ctx context.Context, l *fsm.Lifecycle[*sql.DB], who string) error {
	return l.Use(ctx, func(ctx context.Context, db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, `INSERT INTO visits (who) VALUES ($1)`, who); err != nil {
			return err
		}
		return tx.Commit()
	})
}

func visits(ctx context.Context, l *fsm.Lifecycle[*sql.DB]) (n int, err error) {
	err = l.Use(ctx, func(ctx context.Context, db *sql.DB) error {
		return db.QueryRowContext(ctx, `SELECT count(*) FROM visits`).Scan(&n)
	})
	return n, err
}

func main() {
	driver := flag.String("driver", "sqlite", "sqlite or pgx")
	dsn := flag.String("dsn", filepath.Join(os.TempDir(), "surestart-visits.db"), "the database")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *driver, *dsn); err != nil {
		fmt.Fprintln(os.Stderr, "database:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, driver, dsn string) (err error) {
	db := pool(driver, dsn, fsm.WithStartTimeout(10*time.Second))
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Start(ctx); err != nil {
		return err
	}
	if err := visit(ctx, db, "somebody"); err != nil {
		return err
	}
	n, err := visits(ctx, db)
	if err != nil {
		return err
	}
	fmt.Println("visits:", n)
	return nil
}
