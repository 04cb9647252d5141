package docs

//lint:file-ignore SA4006 a page shows call after call, not what to do with each error

import (
	"context"
	"net"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
)

// What the documents show and no other file has. It is compiled; nothing runs it.

var _ = []any{aProducer, anyResource}

func aProducer(ctx context.Context) error {
	p, err := producer.New(producer.Config{Brokers: []string{"localhost:9092"}, Topic: "orders"})
	if err != nil {
		return err // a field is wrong; the error names it
	}
	defer p.Close() // drains, 20 seconds at most

	// Anywhere, any number of times, from any goroutine:
	if err := p.Start(ctx); err != nil {
		return err // not reachable, not authenticated, no such topic, ...; try again when you like
	}
	err = p.WriteMessages(ctx, kafka.Message{Key: []byte("k"), Value: []byte("v")}) // as *kafka.Writer's
	return err
}

type Server struct {
	ln net.Listener
	db *database
}

type database struct{}

func (*Server) Do(context.Context) error          { return nil }
func (*database) Close(context.Context) error     { return nil }
func open(context.Context) (_ *database, _ error) { return nil, nil }

func anyResource(ctx context.Context, addr string) error {
	server := fsm.New(func(ctx context.Context, s *fsm.Scope) (*Server, error) {
		s.Part("listener")
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, err // what was acquired before is released, in reverse
		}
		s.Defer("listener", func(context.Context) error { return ln.Close() })

		s.Part("database")
		db, err := open(ctx) // ctx ends when nobody wants it any more
		if err != nil {
			return nil, err
		}
		s.Defer("database", db.Close)
		return &Server{ln, db}, nil
	})

	err := server.Start(ctx) // opens it, or joins whoever is opening it
	err = server.Use(ctx, func(ctx context.Context, srv *Server) error { return srv.Do(ctx) })
	err = server.Stop(ctx) // waits for the uses in flight; may be started again
	err = server.Close()   // for good
	return err
}
