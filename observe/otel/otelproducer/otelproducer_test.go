package otelproducer_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/observe/otel/otelproducer"
	"github.com/seed3893aba4/surestart/producer"
)

var name = regexp.MustCompile(`^(messaging\.client|surestart\.(producer|lifecycle))(\.[a-z]+(_[a-z]+)*)+$`)

// collect returns the sums by name, with their attributes.
func collect(t *testing.T, reader sdkmetric.Reader) (values map[string]float64, attributes map[string]string) {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	values, attributes = make(map[string]float64), make(map[string]string)
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			if m.Unit == "" || m.Description == "" || !name.MatchString(m.Name) {
				t.Errorf("%s, unit %q, description %q", m.Name, m.Unit, m.Description)
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					values[m.Name] += float64(p.Value)
					if v, ok := p.Attributes.Value("surestart.producer.verdict"); ok {
						values[m.Name+" "+v.AsString()] = float64(p.Value)
					}
					attributes[m.Name] = p.Attributes.Encoded(attribute.DefaultEncoder())
				}
			case metricdata.Sum[float64]:
				for _, p := range data.DataPoints {
					values[m.Name] += p.Value
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					values[m.Name] = p.Value
				}
			}
		}
	}
	return values, attributes
}

// What a producer sent, over a restart, as the broker saw it; and the spans of its starts and stops.
func TestSent(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		reader, spans := sdkmetric.NewManualReader(), tracetest.NewSpanRecorder()
		o, err := otelproducer.New("orders", otelproducer.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))),
			otelproducer.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))))
		if err != nil {
			t.Fatal(err)
		}
		topic, ctx := b.CreateTopic(t, 1), context.Background()
		p, err := producer.New(producer.Config{Brokers: b.Addrs, Dial: b.Dial, Topic: topic, Lifecycle: []fsm.Option{o.Option()}})
		if err != nil {
			t.Fatal(err)
		}
		o.Watch(p)
		for range 2 {
			if err := p.Start(ctx); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := p.WriteMessages(ctx, make([]kafka.Message, 10)...); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Stop(ctx); err != nil {
				t.Fatal(err)
			}
		}
		p.Close()
		if err := p.FlushObservers(ctx); err != nil {
			t.Fatal(err)
		}
		read := float64(len(b.Read(t, topic)))
		values, attributes := collect(t, reader)
		for name, want := range map[string]float64{
			"messaging.client.sent.messages":    read,
			"surestart.producer.attempt.errors": 0, "surestart.producer.retries": 0, "surestart.producer.in_flight": 0,
			"surestart.producer.requests": values["surestart.producer.batches"], "surestart.producer.sent.io": values["surestart.producer.batch.io"],
			"surestart.lifecycle.attempts":          2,
			"surestart.producer.admitted.messages":  read,
			"surestart.producer.verdicts":           read, // of all four
			"surestart.producer.verdicts delivered": read,
			"surestart.producer.verdicts rejected":  0,
			"surestart.producer.withdrawn.messages": 0,
			"surestart.producer.connections":        0, // it is stopped
			"surestart.producer.connects":           4,
			"surestart.producer.connect.failures":   0,
			"surestart.producer.epochs":             2, // one a session
			"surestart.producer.cluster.losses":     0,
			"surestart.producer.leaderless":         0,
			"surestart.producer.waiting":            0,
			"surestart.producer.oldest.age":         0,
			"surestart.producer.throttle.time":      0,
			"surestart.producer.batch.messages":     read,
		} {
			if got, ok := values[name]; !ok || got != want {
				t.Errorf("%s is %v; want %v", name, got, want)
			}
		}
		if values["surestart.producer.batches"] < 6 || values["surestart.producer.sent.io"] <= 0 {
			t.Errorf("%v", values)
		}
		if got, want := attributes["messaging.client.sent.messages"], "messaging.operation.name=send,messaging.system=kafka,surestart.lifecycle.name=orders"; got != want {
			t.Errorf("the attributes are %s; want %s", got, want)
		}
		var names []string
		for _, s := range spans.Ended() {
			names = append(names, s.Name())
		}
		if got := strings.Join(names, ", "); got != "start orders, stop orders, start orders, stop orders" {
			t.Errorf("the spans are %s", got)
		}
		held := 0
		for _, e := range spans.Ended()[0].Events() {
			if e.Name == "part held" {
				held++
			}
		}
		if held != 1 { // the engine
			t.Errorf("a start has %d parts held; want 1", held)
		}
		t.Logf("CHECKED otel messages-read-back=%d spans=%d", int(read), len(names))

		if err := o.Close(); err != nil {
			t.Error(err)
		}
		if values, _ := collect(t, reader); values["messaging.client.sent.messages"] != 0 {
			t.Error("after Close it is still asked")
		}
	})
}

// docs/figures/metrics.md has a line for each metric.
func TestPageNamesEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../../../docs/figures/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	instruments := regexp.MustCompile(`(?m)(?:count|seconds|now|counter|duration|observable|UpDownCounter|Gauge)\((?:&m\.\w+, )?"([\w.]+)", `)
	named := 0
	for _, file := range []string{"otelproducer.go", "../otelfsm/metrics.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range instruments.FindAllStringSubmatch(string(source), -1) {
			named++
			name := strings.TrimPrefix(m[1], "surestart.")
			if strings.HasPrefix(file, "..") {
				name = "lifecycle." + name
			}
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("docs/figures/metrics.md has no line for %s", m[1])
			}
		}
	}
	if named != 42 {
		t.Errorf("found %d instruments in the sources; want 42", named)
	}
}
