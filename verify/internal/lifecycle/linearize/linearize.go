// Package linearize checks that the calls of a history are linearizable (G3): it compares them with
// the contract as an atomic object, with porcupine.
package linearize

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/anishathalye/porcupine"

	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/internal/history"
)

// model is the atomic object, derived from the contract's graph, in porcupine's form.
var model = sync.OnceValue(func() porcupine.Model {
	object, err := abstract.Model{Callers: 2, Restarts: true}.Object()
	if err != nil {
		panic(err) // a test of package abstract says more
	}
	nondeterministic := porcupine.NondeterministicModel{
		Init: func() []any { return []any{abstract.Status{}} },
		Step: func(state, input, output any) (next []any) {
			op := abstract.Op{Call: input.(abstract.Call), Out: output.(outcome).Out}
			if op == abstract.Revival { // unless a Start waited for it
				next = append(next, state)
			}
			for _, to := range object[state.(abstract.Status)][op] {
				next = append(next, to)
			}
			return next
		},
		DescribeOperation: func(input, output any) string {
			switch (abstract.Op{Call: input.(abstract.Call), Out: output.(outcome).Out}) {
			case abstract.Failure:
				return "failure reported"
			case abstract.Revival:
				return "restarted"
			}
			return fmt.Sprintf("%v → %s", input, output.(outcome).text)
		},
		DescribeState: func(state any) string { return state.(abstract.Status).String() },
	}
	return nondeterministic.ToModel()
})

type outcome struct {
	abstract.Out
	text string
}

// operations returns the calls of h, the failure reports, and the opens that may have been
// restarts, each with its interval. A call that does not return, and a return without a call, are
// an error.
func operations(h history.History) ([]porcupine.Operation, error) {
	var (
		ops     []porcupine.Operation
		open    [abstract.MaxCallers]*porcupine.Operation
		reports = map[int][]porcupine.Operation{}
		revived *porcupine.Operation
		restart bool
	)
	for i, e := range h {
		switch at := int64(i); e.Kind {
		case history.Call:
			if open[e.Caller] != nil {
				return nil, fmt.Errorf("event %d, %v: this caller is in a call", i+1, e)
			}
			open[e.Caller] = &porcupine.Operation{ClientId: int(e.Caller), Input: e.Call, Call: at}
		case history.Return:
			op := open[e.Caller]
			if op == nil {
				return nil, fmt.Errorf("event %d, %v: this caller is in no call", i+1, e)
			}
			open[e.Caller] = nil
			text := e.Result()
			op.Output, op.Return = outcome{e.Out.Out, text}, at
			ops = append(ops, *op)
		case history.FailCalled:
			reports[e.Attempt] = append(reports[e.Attempt], porcupine.Operation{
				ClientId: abstract.MaxCallers + e.Attempt, Input: abstract.Failure.Call, Output: outcome{}, Call: at})
		case history.FailReturned:
			some := reports[e.Attempt]
			if len(some) == 0 {
				return nil, fmt.Errorf("event %d, %v: this was not reported", i+1, e)
			}
			some[0].Return = at
			ops = append(ops, some[0])
			reports[e.Attempt] = some[1:]
		case history.BackoffAnswers:
			restart = restart || !e.Bad
		case history.OpenReturns:
			if restart && !e.Bad {
				revived = &porcupine.Operation{ClientId: abstract.MaxCallers + e.Attempt, Input: abstract.Revival.Call,
					Output: outcome{Out: abstract.Revival.Out}, Call: at}
			}
			restart = false
		}
		if revived != nil && (e.Kind == history.OpenBegun || e.Kind == history.ReleaseBegun || i == len(h)-1) {
			revived.Return = int64(i)
			ops = append(ops, *revived)
			revived = nil
		}
	}
	for c, op := range open {
		if op != nil {
			return nil, fmt.Errorf("the call of c%d does not return", c+1)
		}
	}
	for attempt, some := range reports {
		if len(some) > 0 {
			return nil, fmt.Errorf("a report of attempt %d does not return", attempt)
		}
	}
	return ops, nil
}

// Holds reports whether the calls of h are a sequence of calls of the atomic object (G3). Each call
// takes effect at one instant between its call and its return.
func Holds(h history.History) bool {
	ops, err := operations(h)
	return err == nil && porcupine.CheckOperations(model(), ops)
}

// Picture writes porcupine's picture of h, with all events of h, as a page of HTML into dir, or
// into a new directory if dir is empty. It returns the path.
func Picture(h history.History, dir, name string) (string, error) {
	ops, err := operations(h)
	if err != nil {
		return "", err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "surestart-histories"); err != nil {
			return "", err
		}
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	_, info := porcupine.CheckOperationsVerbose(model(), ops, 0)
	var notes []porcupine.Annotation
	for i, e := range h {
		if e.Kind != history.Call && e.Kind != history.Return {
			notes = append(notes, porcupine.Annotation{Tag: "hooks and contexts", Start: int64(i), Description: e.Kind.String(), Details: e.String()})
		}
	}
	info.AddAnnotations(notes)
	path := filepath.Join(dir, name+".html")
	return path, porcupine.VisualizePath(model(), info, path)
}
