// Command mongodb is a MongoDB client as a resource. mongo.Connect reports success even without a
// server, and leaves monitors running until Disconnect. Here Started means that the primary has
// answered (G3). A failed start leaves no monitor (G4). A stop waits for the operations in flight,
// or cuts them off (G9). Then no connection and no goroutine is left (G7).
//
//	go run ./mongodb -uri mongodb://localhost:27017
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"github.com/seed3893aba4/surestart/fsm"
)

// client returns a client that is opened once, however many ask.
func client(uri string, opts ...fsm.Option) *fsm.Lifecycle[*mongo.Client] {
	return fsm.New(func(ctx context.Context, s *fsm.Scope) (*mongo.Client, error) {
		s.Part("client")
		wires, cut := context.WithCancel(context.WithoutCancel(ctx))
		cl, err := mongo.Connect(options.Client().ApplyURI(uri).SetDialer(dialer{wires})) // has monitors from here on
		if err != nil {
			cut()
			return nil, err
		}
		opened := false
		s.Defer("client", func(ctx context.Context) error {
			defer cut()
			if !opened || fsm.Forced(ctx) { // there is nothing to wait for, or no caller that waits
				cut()
				ctx = wires
			}
			return cl.Disconnect(ctx)
		})
		s.Part("primary")
		if err := cl.Ping(ctx, readpref.Primary()); err != nil { // waits for one, as long as serverSelectionTimeoutMS
			return nil, err
		}
		opened = true
		return cl, nil
	}, opts...)
}

// A dialer's connections end with cut. Disconnect alone waits for a monitor's handshake, for up to
// 30 s, whatever its context does.
type dialer struct{ cut context.Context }

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.cut, cancel)()
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return conn{c, context.AfterFunc(d.cut, func() { c.Close() })}, nil
}

type conn struct {
	net.Conn
	forget func() bool
}

func (c conn) Close() error {
	c.forget()
	return c.Conn.Close()
}

// A visit is one piece of work: the client is not disconnected under it.
func visit(ctx context.Context, l *fsm.Lifecycle[*mongo.Client], who string) error {
	return l.Use(ctx, func(ctx context.Context, cl *mongo.Client) error {
		_, err := cl.Database("test").Collection("visits").InsertOne(ctx, bson.D{{Key: "who", Value: who}})
		return err
	})
}

func main() {
	uri := flag.String("uri", "mongodb://localhost:27017", "the deployment")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *uri); err != nil {
		fmt.Fprintln(os.Stderr, "mongodb:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, uri string) (err error) {
	l := client(uri, fsm.WithStartTimeout(10*time.Second))
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Start(ctx); err != nil {
		return err
	}
	return visit(ctx, l, "somebody")
}
