package otelfsm

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/parts"
)

// metrics are the instruments. Those that are asked have the source; the others are told.
type metrics struct {
	name         attribute.KeyValue
	source       atomic.Pointer[Source]
	registration metric.Registration

	attempts, startFailures, startRetries, releaseFailures, deaths, forced, cutOff metric.Int64Counter
	start, part, stop, rollback                                                    metric.Float64Histogram

	parts parts.Follower
	ends  metric.Float64Histogram // of the release that is under way
}

func newMetrics(name string, meter metric.Meter) (*metrics, error) {
	m := &metrics{name: NameKey.String(name)}
	var errs []error
	counter := func(to *metric.Int64Counter, name, unit, description string) {
		c, err := meter.Int64Counter("surestart.lifecycle."+name, metric.WithUnit(unit), metric.WithDescription(description))
		*to, errs = c, append(errs, err)
	}
	duration := func(to *metric.Float64Histogram, name, description string) {
		h, err := meter.Float64Histogram("surestart.lifecycle."+name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60))
		*to, errs = h, append(errs, err)
	}
	asked := func(name, unit, description string) metric.Int64ObservableUpDownCounter {
		c, err := meter.Int64ObservableUpDownCounter("surestart.lifecycle."+name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	counter(&m.attempts, "attempts", "{attempt}", "Attempts to start that have ended, by the event that ended them; opened is success.")
	counter(&m.startFailures, "start.failures", "{attempt}", "Attempts to start that did not come up, by the part that was being acquired.")
	counter(&m.startRetries, "start.retries", "{try}", "Tries to start that failed and were to be made again within their attempt, by the part that was being acquired.")
	counter(&m.releaseFailures, "release.failures", "{release}", "Releases of parts that failed.")
	counter(&m.deaths, "deaths", "{death}", "Times that the running resource reported its own failure.")
	counter(&m.forced, "forced_releases", "{release}", "Releases that did not wait for the uses in flight.")
	counter(&m.cutOff, "cut_off_uses", "{use}", "Uses in flight that forced releases cut off.")
	duration(&m.start, "start.duration", "How long the starts took that came up.")
	duration(&m.part, "part.duration", "How long the acquiring of a part took, whether or not it came to an end.")
	duration(&m.stop, "stop.duration", "How long it took to drain and release the running resource.")
	duration(&m.rollback, "rollback.duration", "How long it took to give back what a start that did not come up had acquired.")
	state := asked("state", "{lifecycle}", "1 for the state that it is in, 0 for the others.")
	inUse := asked("in_use", "{use}", "Admitted uses that have not ended.")
	waiters := asked("waiters", "{caller}", "Callers of Start, Stop and Shutdown that wait.")
	held := asked("held_parts", "{part}", "Parts of the resource that are held.")
	undelivered := asked("undelivered", "{notification}", "Transitions and steps that the observer furthest behind has yet to receive.")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var err error
	m.registration, err = meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		source := m.source.Load()
		if source == nil {
			return nil
		}
		s := (*source).Status()
		for each := fsm.Idle; each <= fsm.Closed; each++ {
			n := int64(0)
			if each == s.State {
				n = 1
			}
			to.ObserveInt64(state, n, metric.WithAttributes(m.name, StateKey.String(strings.ToLower(each.String()))))
		}
		mine := metric.WithAttributes(m.name)
		to.ObserveInt64(inUse, int64(s.InFlight), mine)
		to.ObserveInt64(waiters, int64(s.Waiters), mine)
		to.ObserveInt64(held, int64(len(s.Held)), mine)
		to.ObserveInt64(undelivered, int64(s.Undelivered), mine)
		return nil
	}, state, inUse, waiters, held, undelivered)
	return m, err
}

// ctx is the attempt's span's, so that a sampled trace can be an exemplar.
func (m *metrics) step(ctx context.Context, s fsm.Step) {
	mine := metric.WithAttributes(m.name)
	acquired, ok := m.parts.Step(s)
	m.acquired(ctx, acquired, ok)
	switch {
	case s.Kind == fsm.StepRetry:
		m.startRetries.Add(ctx, 1, metric.WithAttributes(m.name, PartKey.String(s.Part)))
	case s.Kind == fsm.StepForced:
		m.forced.Add(ctx, 1, mine)
		m.cutOff.Add(ctx, int64(s.CutOff), mine)
	case s.Kind == fsm.StepReleased && s.Err != nil:
		m.releaseFailures.Add(ctx, 1, metric.WithAttributes(m.name, PartKey.String(s.Part)))
	}
}

func (m *metrics) transition(ctx context.Context, tr fsm.Transition) {
	mine, took := metric.WithAttributes(m.name), tr.Took.Seconds()
	acquired, ok := m.parts.Transition(tr)
	m.acquired(ctx, acquired, ok)
	switch tr.From {
	case fsm.Starting:
		m.attempts.Add(ctx, 1, metric.WithAttributes(m.name, ResultKey.String(tr.Event.String())))
		if tr.To == fsm.Started {
			m.start.Record(ctx, took, mine)
			break
		}
		m.startFailures.Add(ctx, 1, metric.WithAttributes(m.name, PartKey.String(m.parts.Acquiring)))
		m.ends = m.rollback
	case fsm.Started:
		m.ends = m.stop
		if tr.Event == fsm.EventDied {
			m.deaths.Add(ctx, 1, mine)
		}
	case fsm.Stopping:
		if m.ends != nil {
			m.ends.Record(ctx, took, mine)
		}
	}
}

func (m *metrics) acquired(ctx context.Context, a parts.Acquired, ok bool) {
	if ok {
		m.part.Record(ctx, a.Took.Seconds(), metric.WithAttributes(m.name, PartKey.String(a.Part)))
	}
}
