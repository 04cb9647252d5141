package conformance

import (
	"fmt"
	"reflect"
	"runtime/debug"
)

// new makes the lifecycle of a schedule. If Subject.New is invalid, it reports why and exits.
func (c *child) new(r *run, at place) Lifecycle {
	var (
		lc  Lifecycle
		why = "Subject.New calls runtime.Goexit, as t.FailNow and t.Fatal do; want a lifecycle that was never started"
	)
	done := make(chan struct{})
	go func() { // a New that blocks is detected below
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				why = fmt.Sprintf("Subject.New panics: %v; want a lifecycle that was never started\n%s", v, debug.Stack())
			}
		}()
		lc = c.subject.New(&Hooks{r})
		why = c.subject.refuse(lc, c.last)
	}()
	c.making.Store(true)
	rests := at.quiet()
	c.making.Store(false)
	select {
	case <-done:
	default:
		switch r.mu.Lock(); {
		case len(r.hooks) > 0:
			why = "Subject.New calls a hook; want a lifecycle that was never started: it opens in Start"
		case rests:
			why = "Subject.New blocks; want it to return at once"
		default:
			why = c.subject.busy()
		}
		c.refuse(why)
	}
	if why != "" {
		c.refuse(why)
	}
	c.last = lc
	return lc
}

func (s *Subject) busy() string {
	return fmt.Sprintf("Subject.New has not returned after %v (Subject.Patience); want it to return at once", s.Patience)
}

// refuse returns why lc cannot be tested, "" if it can. last is the lifecycle of the
// previous schedule.
func (s *Subject) refuse(lc, last Lifecycle) string {
	if lc == nil {
		return "Subject.New returns nil; want a lifecycle"
	}
	v := reflect.ValueOf(lc)
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Chan, reflect.Slice:
		if v.IsNil() {
			return fmt.Sprintf("Subject.New returns a nil %T; want a lifecycle", lc)
		}
	}
	if v.Kind() == reflect.Pointer && v.Type().Elem().Size() > 0 && lc == last {
		return fmt.Sprintf("Subject.New returns the same %T again; want a new one each time: it is called once for each schedule", lc)
	}
	if _, ok := lc.(User); !ok && s.Capabilities.has(DrainsUses) {
		return fmt.Sprintf("Subject.Capabilities has DrainsUses, and %T is no User; "+
			"give it a method Use(context.Context, func(context.Context) error) error, or take DrainsUses out", lc)
	}
	if _, ok := lc.(Shutdowner); !ok && s.Capabilities.has(Final) {
		return fmt.Sprintf("Subject.Capabilities has Final, and %T is no Shutdowner; "+
			"give it a method Shutdown(context.Context) error, or take Final out", lc)
	}
	return ""
}
