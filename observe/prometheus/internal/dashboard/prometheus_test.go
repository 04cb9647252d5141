package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/observe/prometheus/promfsm"
	"github.com/seed3893aba4/surestart/observe/prometheus/promproducer"
	"github.com/seed3893aba4/surestart/producer"
)

// A real Prometheus scrapes a real handler, while a producer and a lifecycle that often
// fails live; it answers every query of the dashboard with a number.
func TestPrometheusAnswers(t *testing.T) {
	program := os.Getenv("SURESTART_PROMETHEUS")
	if program == "" {
		testbroker.Missing(t, "a Prometheus: set SURESTART_PROMETHEUS to its command (./check tools prometheus prints it)")
	}
	registry := prometheus.NewPedanticRegistry()
	live(t, registry)
	handler := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	t.Cleanup(handler.Close)
	server := start(t, program, strings.TrimPrefix(handler.URL, "http://"))

	d, _ := load(t)
	answered := 0
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			expr := strings.NewReplacer("$lifecycle", ".*", "$__rate_interval", "1m").Replace(q.Expr)
			for said := ""; ; {
				ok, now := ask(t, server, expr)
				if ok {
					answered++
					break
				}
				if now != said { // it has to be scraped twice first
					said = now
					t.Logf("%s: not yet: %s", p.Title, said)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	// An alert is also a series: one for each alert that must fire by now, and none for the others.
	for _, name := range []string{"SurestartDied", "SurestartReleaseFailed", "SurestartUsesCutOff"} {
		for fired := false; !fired; {
			if fired, _ = ask(t, server, `ALERTS{alertstate="firing", lifecycle="database", alertname="`+name+`"}`); !fired {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	for _, of := range []string{`alertname=~"SurestartStartHangs|SurestartReleaseHangs|SurestartAttemptsFail"`, `lifecycle="orders"`} {
		if fires, _ := ask(t, server, `ALERTS{alertstate="firing", `+of+`}`); fires {
			t.Errorf("an alert with %s fires", of)
		}
	}
	checkRules(t, server)
	if ok, said := ask(t, server, `surestart_no_such_metric`); ok {
		t.Errorf("a metric that does not exist: %s", said)
	}
	t.Logf("CHECKED dashboard answered-by-prometheus=%d", answered)
}

var errBusy = errors.New("busy")

// whileBusy tries again, at once.
type whileBusy struct{}

func (whileBusy) Next(_ int, err error) (time.Duration, bool) { return 0, errors.Is(err, errBusy) }

// live has a producer and a lifecycle of everything that goes wrong, until the test ends.
func live(t *testing.T, registry *prometheus.Registry) {
	b := testbroker.Fake(t)
	orders := promproducer.NewCollector("orders")
	p, err := producer.New(producer.Config{Brokers: b.Addrs, Topic: b.CreateTopic(t, 1), Lifecycle: []fsm.Option{orders.Option()}})
	if err != nil {
		t.Fatal(err)
	}
	orders.Watch(p)

	database := promfsm.NewCollector("database")
	tries := 0
	l := fsm.New(func(_ context.Context, s *fsm.Scope) (int, error) {
		s.Part("connection")
		s.Defer("connection", func(context.Context) error { return errors.New("not closed") })
		s.Part("schema")
		switch tries++; tries % 4 {
		case 0:
			return 0, errBusy
		case 2:
			return 0, errors.New("locked")
		}
		return 42, nil
	}, database.Option(), fsm.WithRetry(whileBusy{}), fsm.WithLogger(slog.New(slog.DiscardHandler)))
	database.Watch(l)
	registry.MustRegister(orders, database)

	ctx, cancel := context.WithCancel(context.Background())
	var living sync.WaitGroup
	again := func(round func()) {
		living.Go(func() {
			for ctx.Err() == nil {
				round()
				select {
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	again(func() {
		if err := p.Start(ctx); err == nil {
			p.WriteMessages(ctx, make([]kafka.Message, 10)...)
			p.Stop(context.Background())
		}
	})
	again(func() {
		if l.Start(ctx) == nil {
			lease, _ := l.Acquire()
			lease.Fail(errors.New("dead"))
			lease.Release()
			l.Wait(context.Background(), fsm.Idle)
		}
	})
	t.Cleanup(func() {
		cancel()
		living.Wait()
		p.Close()
		l.Close()
	})
}

// start starts a Prometheus that scrapes target, and returns its address.
func start(t *testing.T, program, target string) string {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs(alerts)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "global: {evaluation_interval: 200ms}\nrule_files: [%q]\nscrape_configs:\n- job_name: surestart\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  static_configs:\n  - targets: [%q]\n", rules, target), 0o644); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
		log.Close()
	})
	for {
		res, err := http.Get("http://" + address + "/-/ready")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return address
			}
		}
		select {
		case err := <-exited:
			exited <- err
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("Prometheus ended: %v\n%s", err, said)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ask reports whether the query has an answer with a number in it, and returns the answer
// otherwise.
func ask(t *testing.T, server, expr string) (ok bool, said string) {
	t.Helper()
	res, err := http.Get("http://" + server + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", expr, res.Status, body) // no PromQL
	}
	for _, r := range answer.Data.Result {
		if n, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
			return true, ""
		}
	}
	return false, string(body)
}

// checkRules fails unless every alert has been evaluated, without an error.
func checkRules(t *testing.T, server string) {
	t.Helper()
	res, err := http.Get("http://" + server + "/api/v1/rules")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health != "ok" {
				t.Errorf("the alert %s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if want := len(rules(t)); n != want {
		t.Errorf("%d alerts; want %d", n, want)
	}
	t.Logf("CHECKED dashboard alerts=%d", n)
}
