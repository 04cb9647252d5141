// Command database is a database/sql pool as a resource: it is Started when the
// database has answered and the schema is there (G3), a start that fails leaves no
// connection (G4), a stop waits for the transactions in flight or cuts them off (G9),
// and then no connection is open (G7), which DB.Close alone does not see to.
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
		s.Part("connection")
		if err := db.PingContext(ctx); err != nil {
			return nil, err
		}
		s.Part("schema")
		if _, err := db.ExecContext(ctx, schema); err != nil {
			return nil, err
		}
		return db, nil
	}, opts...)
}

// emptied waits until no connection is open. Close does not wait for those in use:
// after a forced stop they go when their queries have noticed the end of their context.
func emptied(ctx context.Context, db *sql.DB) error {
	tick := time.NewTicker(time.Millisecond) // database/sql tells nobody
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
