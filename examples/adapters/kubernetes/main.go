// Command kubernetes is an HTTP service that sends orders to Kafka, made to be run by
// Kubernetes: manifest.yaml describes it, and docs/service.md builds it step by step.
//
// The server and the producer are a group: the server opens once the producer is Started, and
// closes before it. While the cluster is away the start is tried again, and the process is live
// but not ready. The probes, the status page and the metrics have a port of their own, which the
// service does not expose. On SIGTERM the requests in flight end first, then the messages that
// the producer has accepted (G9). Each has a bound. Together with preStop they fit into
// terminationGracePeriodSeconds, after which Kubernetes would kill the process.
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

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/fsmhttp"
	"github.com/seed3893aba4/surestart/fsm/fsmlog"
	"github.com/seed3893aba4/surestart/fsm/group"
	"github.com/seed3893aba4/surestart/observe/prometheus/promfsm"
	"github.com/seed3893aba4/surestart/observe/prometheus/promproducer"
	"github.com/seed3893aba4/surestart/producer"
	"github.com/seed3893aba4/surestart/resilience"
)

type config struct {
	addr, admin, brokers, topic string
	drain                       time.Duration // for the requests in flight; none takes longer
	stop                        time.Duration // then for the messages that the producer has accepted
}

// margin bounds each of the last steps: the return of what was cut off, a probe or a scrape that
// is being answered, and the last lines of the log.
const margin = time.Second

func parse(args []string) (c config, err error) {
	flags := flag.NewFlagSet("kubernetes", flag.ContinueOnError)
	flags.StringVar(&c.addr, "addr", ":8080", "listen on, for orders")
	flags.StringVar(&c.admin, "admin", ":9090", "listen on, for probes, status and metrics")
	flags.StringVar(&c.brokers, "brokers", "localhost:9092", "host:port, separated by commas")
	flags.StringVar(&c.topic, "topic", "orders", "send to")
	flags.DurationVar(&c.drain, "drain", 5*time.Second, "how long a stop waits for the requests in flight")
	flags.DurationVar(&c.stop, "stop", 15*time.Second, "how long it then waits for the producer")
	return c, flags.Parse(args)
}

// admin answers the probes, shows the status of each lifecycle, and exports the metrics.
func admin(page fsmhttp.Page, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", fsmhttp.Live)
	mux.Handle("GET /readyz", fsmhttp.Ready(page))
	mux.Handle("GET /statusz", page)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

// handler takes orders.
func handler(p *producer.Producer) http.Handler {
	mux := http.NewServeMux()
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

// server is an HTTP server as a resource: see examples/httpserver. It calls listening with its
// address.
func server(addr string, drain time.Duration, handler http.Handler, listening func(net.Addr)) *fsm.Lifecycle[net.Addr] {
	return fsm.New(func(ctx context.Context, s *fsm.Scope) (net.Addr, error) {
		s.Part("listener")
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", addr)
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
		listening(ln.Addr())
		return ln.Addr(), nil
	}, fsm.WithReleaseTimeout(drain))
}

// together makes one lifecycle of the server and the producer that it needs.
func together(c config, web *fsm.Lifecycle[net.Addr], p *producer.Producer, opts ...fsm.Option) (*group.Group, error) {
	pauses := backoff.NewExponentialBackOff()
	pauses.MaxInterval = 5 * time.Second
	return group.New([]group.Member{
		{Name: "orders", Lifecycle: p},
		{Name: "web", Lifecycle: web, Needs: []string{"orders"}},
	}, append(opts,
		fsm.WithRetry(resilience.NewRetry(resilience.RetryConfig{Pauses: pauses})), // as long as it takes
		fsm.WithReleaseTimeout(c.drain+c.stop),                                     // the server, then the producer
		fsm.WithStopTimeout(c.drain+c.stop+margin),
		fsmlog.To(slog.Default()),
	)...)
}

// run serves until ctx ends, then drains. It calls listening with the name and the address of
// each server that listens.
func run(ctx context.Context, c config, listening func(name string, addr net.Addr)) error {
	orders, services := promproducer.NewCollector("orders"), promfsm.NewCollector("services", "orders", "web")
	p, err := producer.New(producer.Config{
		Brokers: strings.Split(c.brokers, ","), Topic: c.topic,
		DeliveryTimeout: c.drain, Lifecycle: []fsm.Option{orders.Option()},
	})
	if err != nil {
		return err
	}
	web := server(c.addr, c.drain, handler(p), func(a net.Addr) { listening("web", a) })
	all, err := together(c, web, p, services.Option())
	if err != nil {
		return err
	}
	orders.Watch(p)
	services.Watch(all)
	registry := prometheus.NewRegistry()
	registry.MustRegister(orders, services)

	page := fsmhttp.Page{"services": all, "orders": p, "web": web}
	probes := server(c.admin, margin, admin(page, registry), func(a net.Addr) { listening("admin", a) })
	if err := probes.Start(ctx); err != nil {
		return err
	}
	err = errors.Join(all.Run(ctx), probes.Close()) // the probes are answered until the end
	flush, cancel := context.WithTimeout(context.Background(), margin)
	defer cancel()
	return errors.Join(err, all.FlushObservers(flush)) // the last lines of the log
}

func main() {
	c, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal does not wait
	if err := run(ctx, c, func(name string, addr net.Addr) { fmt.Println(name, addr) }); err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes:", err) // the number of messages that were cut off, if any
		os.Exit(1)
	}
}
