package promfsm_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/observe/prometheus/promfsm"
)

func Example() {
	c := promfsm.NewCollector("answer")
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, c.Option())
	defer l.Close()
	c.Watch(l)
	registry := prometheus.NewRegistry() // or, for the default one, prometheus.MustRegister(c)
	registry.MustRegister(c)

	l.Start(context.Background())
	lease, err := l.Acquire()
	if err != nil {
		log.Fatal(err)
	}
	defer lease.Release()
	families, err := registry.Gather() // as a scrape does
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "surestart_lifecycle_in_use" {
				fmt.Println(m.GetLabel()[0].GetName() == promfsm.Label, m.GetLabel()[0].GetValue(), m.GetGauge().GetValue())
			}
		}
	}
	// Output: true answer 1
}

// renamed is a lifecycle that is kept in something else.
type renamed struct{ inner *fsm.Lifecycle[int] }

func (r renamed) Status() fsm.Status { return r.inner.Status() }

// Whatever has a Status can be watched.
func ExampleSource() {
	c := promfsm.NewCollector("answer")
	l := fsm.New(func(context.Context, *fsm.Scope) (int, error) { return 42, nil }, c.Option())
	var source promfsm.Source = renamed{l}
	c.Watch(source)
	fmt.Println(source.Status().State)
	// Output: Idle
}
