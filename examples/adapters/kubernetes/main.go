// Command kubernetes is an HTTP service that sends orders to Kafka, made to be run by
// Kubernetes: manifest.yaml is how.
//
// It lives as soon as it listens, and is ready once its producer is Started and the
// cluster answers; until then it tries again, with growing pauses. On SIGTERM it drains in order: the
// requests in flight first, then what the producer has accepted (G9). Each has a bound,
// and together with preStop they fit into terminationGracePeriodSeconds, or else
// Kubernetes would kill the process with messages in it.
//
//	go run ./kubernetes -brokers localhost:9092 -topic orders
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
	"github.com/seed3893aba4/surestart/producer/health"
)

type config struct {
	addr, brokers, topic string
	drain                time.Duration // for the requests in flight; none takes longer
	stop                 time.Duration // then for the producer, the forced release included
}

func parse(args []string) (c config, err error) {
	flags := flag.NewFlagSet("kubernetes", flag.ContinueOnError)
	flags.StringVar(&c.addr, "addr", ":8080", "listen on")
	flags.StringVar(&c.brokers, "brokers", "localhost:9092", "host:port, separated by commas")
	flags.StringVar(&c.topic, "topic", "orders", "send to")
	flags.DurationVar(&c.drain, "drain", 5*time.Second, "how long a stop waits for the requests in flight")
	flags.DurationVar(&c.stop, "stop", 15*time.Second, "how long it then waits for the producer")
	return c, flags.Parse(args)
}

// handler takes orders, and answers the probes.
func handler(p *producer.Producer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /livez", health.Live(p))
	mux.Handle("GET /readyz", health.Ready(p))
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch err := p.WriteMessages(r.Context(), kafka.Message{Value: body}); {
		case err == nil:
			w.WriteHeader(http.StatusAccepted)
		case errors.Is(err, producer.ErrNotSent): // it cannot become a duplicate
			w.Header().Set("Retry-After", "1")
			http.Error(w, "not sent; send it again", http.StatusServiceUnavailable)
		case errors.Is(err, producer.ErrRejected):
			http.Error(w, "refused", http.StatusUnprocessableEntity)
		default: // producer.ErrMaybeDelivered
			http.Error(w, "sent perhaps", http.StatusGatewayTimeout)
		}
	})
	return mux
}

// server is an HTTP server as a resource: see examples/httpserver.
func server(c config, handler http.Handler) *fsm.Lifecycle[net.Addr] {
	return fsm.New(func(ctx context.Context, s *fsm.Scope) (net.Addr, error) {
		s.Part("listener")
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", c.addr)
		if err != nil {
			return nil, err
		}
		srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		served := make(chan struct{})
		go func() {
			defer close(served)
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				s.Fail(err)
			}
		}()
		s.Defer("server", func(ctx context.Context) error {
			err := srv.Shutdown(ctx) // closes the listener, and waits for the requests in flight
			if err != nil {
				err = errors.Join(err, srv.Close()) // then cuts them off
			}
			<-served
			return err
		})
		return ln.Addr(), nil
	}, fsm.WithReleaseTimeout(c.drain))
}

// bring starts the producer, however long that takes: the service lives meanwhile,
// and is not ready.
func bring(ctx context.Context, p *producer.Producer) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := p.Start(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		slog.Warn("the producer does not start; trying again", "after", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// run serves until ctx ends, then drains. listening is told the address.
func run(ctx context.Context, c config, listening func(net.Addr)) error {
	p, err := producer.New(producer.Config{
		Brokers: strings.Split(c.brokers, ","), Topic: c.topic,
		DeliveryTimeout: c.drain, StopTimeout: c.stop,
	})
	if err != nil {
		return err
	}
	web := server(c, handler(p))
	if err := web.Start(ctx); err != nil {
		return errors.Join(err, web.Close())
	}
	if err := web.Use(ctx, func(_ context.Context, addr net.Addr) error {
		listening(addr)
		return nil
	}); err != nil {
		return errors.Join(err, web.Close())
	}
	up, down := context.WithCancel(ctx)
	brought := make(chan struct{})
	go func() {
		defer close(brought)
		bring(up, p)
	}()

	var died error
	if _, err := web.Wait(ctx, fsm.Idle); err == nil { // before anybody asked for it
		died = web.Status().Cause
	}
	down()
	<-brought
	return errors.Join(died, web.Close(), p.Close()) // in this order
}

func main() {
	c, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal does not wait
	if err := run(ctx, c, func(addr net.Addr) { fmt.Println(addr) }); err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes:", err) // how many messages were cut off, if any
		os.Exit(1)
	}
}
