package otelfsm_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed3893aba4/surestart/observe/otel/otelfsm"
)

// A lab is an observer whose metrics and spans can be looked at.
type lab struct {
	*otelfsm.Observer
	t       tb
	reader  *sdkmetric.ManualReader
	spans   *tracetest.SpanRecorder
	tracers *sdktrace.TracerProvider
}

// tb is a test, or a property's.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newLab(t tb, opts ...otelfsm.Option) lab {
	reader, spans := sdkmetric.NewManualReader(), tracetest.NewSpanRecorder()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	o, err := otelfsm.New("it", append(opts, otelfsm.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))), otelfsm.WithTracerProvider(tracers))...)
	if err != nil {
		t.Fatal(err)
	}
	return lab{o, t, reader, spans, tracers}
}

// values are all data points, by name and attributes; of a histogram its sum and count.
func (l lab) values() map[string]float64 {
	l.t.Helper()
	synctest.Wait()
	var rm metricdata.ResourceMetrics
	if err := l.reader.Collect(context.Background(), &rm); err != nil {
		l.t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			if m.Unit == "" || m.Description == "" || !name.MatchString(m.Name) {
				l.t.Errorf("%s, unit %q, description %q", m.Name, m.Unit, m.Description)
			}
			id := func(set attribute.Set) string {
				id := strings.TrimPrefix(m.Name, "surestart.lifecycle.")
				for _, kv := range set.ToSlice() {
					if kv.Key != otelfsm.NameKey {
						id += " " + kv.Value.String()
					} else if kv.Value.AsString() != "it" {
						l.t.Errorf("%s of %q", m.Name, kv.Value.AsString())
					}
				}
				return id
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					all[id(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					all[id(p.Attributes)+" count"] = float64(p.Count)
					all[id(p.Attributes)+" sum"] = p.Sum
				}
			default:
				l.t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	return all
}

// Lower case, in a namespace, without a unit.
var name = regexp.MustCompile(`^surestart\.lifecycle(\.[a-z]+(_[a-z]+)*)+$`)

func (l lab) want(want ...string) {
	l.t.Helper()
	var got []string
	all := l.values()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if v := all[id]; v != 0 {
			got = append(got, fmt.Sprint(id, " ", v))
		}
	}
	if !slices.Equal(got, want) {
		l.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// story writes a span as lines: the span, then its events, with seconds since t0.
func story(s sdktrace.ReadOnlySpan, t0 time.Time) []string {
	attributes := func(all []attribute.KeyValue) string {
		var text []string
		for _, kv := range all {
			key := strings.TrimPrefix(string(kv.Key), "surestart.lifecycle.")
			if key != "exception.type" && key != "exception.stacktrace" && key != "name" {
				text = append(text, " "+key+"="+kv.Value.String())
			}
		}
		slices.Sort(text)
		return strings.Join(text, "")
	}
	lines := []string{fmt.Sprintf("%s %v-%v%s", s.Name(), s.StartTime().Sub(t0).Seconds(), s.EndTime().Sub(t0).Seconds(), attributes(s.Attributes()))}
	if st := s.Status(); st.Code != codes.Unset {
		lines[0] += fmt.Sprintf(" %v %q", st.Code, st.Description)
	}
	for _, e := range s.Events() {
		lines = append(lines, fmt.Sprintf("%v %s%s", e.Time.Sub(t0).Seconds(), e.Name, attributes(e.Attributes)))
	}
	return lines
}

func (l lab) wantSpan(i int, t0 time.Time, want ...string) sdktrace.ReadOnlySpan {
	l.t.Helper()
	synctest.Wait()
	ended := l.spans.Ended()
	if len(ended) <= i {
		l.t.Fatalf("%d spans have ended; want %d", len(ended), i+1)
	}
	if got := story(ended[i], t0); !slices.Equal(got, want) {
		l.t.Errorf("span %d:\n\t%s\nwant\n\t%s", i, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	return ended[i]
}
