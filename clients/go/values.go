package tiergate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const (
	invalidRequest = "urn:tiergate:problem:invalid-request"
	unknownFeature = "urn:tiergate:problem:unknown-feature"
)

// Number is the text of a number, such as "69" or "0.5", so that decimals stay exact.
type Number = json.Number

// Subject is who is asked about: a customer or a subscription, with the user of it who asks.
type Subject struct {
	ID   string `json:"id"`
	Type string `json:"type,omitempty"` // "customer", if it is empty, or "subscription"
	User string `json:"user,omitempty"`
}

// Customer is a customer.
func Customer(id string) Subject { return Subject{ID: id} }

// Subscription is a subscription.
func Subscription(id string) Subject { return Subject{ID: id, Type: "subscription"} }

// WithUser is the same subject, with a user of it.
func (s Subject) WithUser(id string) Subject {
	s.User = id
	return s
}

func (s Subject) query() url.Values {
	query := url.Values{"subject": {s.ID}}
	if s.Type != "" {
		query.Set("type", s.Type)
	}
	if s.User != "" {
		query.Set("user", s.User)
	}
	return query
}

// Check asks whether a subject may use a feature. An empty Number is left out.
type Check struct {
	Subject  Subject `json:"subject"`
	Feature  string  `json:"feature"`
	Amount   Number  `json:"amount,omitempty"`    // quantity: the additional amount; by default one unit
	Used     Number  `json:"used,omitempty"`      // quantity: the usage so far; by default what is metered, or 0
	UserUsed Number  `json:"user_used,omitempty"` // quantity: the part of it that the user used
	Value    Number  `json:"value,omitempty"`     // range: the value to set; by default any
	Level    string  `json:"level,omitempty"`     // custom: the required level; by default any
}

// CheckOption sets a field of a check.
type CheckOption func(*Check)

// NewCheck makes a check. The feature may be text, or a constant that `tiergate codegen` wrote.
func NewCheck[F ~string](subject Subject, feature F, options ...CheckOption) Check {
	check := Check{Subject: subject, Feature: string(feature)}
	for _, option := range options {
		option(&check)
	}
	return check
}

// Amount sets the additional amount of a quantity.
func Amount(amount Number) CheckOption { return func(check *Check) { check.Amount = amount } }

// Used sets the usage of a quantity so far.
func Used(used Number) CheckOption { return func(check *Check) { check.Used = used } }

// UserUsed sets the part of the usage that is the user's.
func UserUsed(used Number) CheckOption { return func(check *Check) { check.UserUsed = used } }

// Value sets the value of a range.
func Value(value Number) CheckOption { return func(check *Check) { check.Value = value } }

// Level sets the required level of a custom feature: text, or a constant that `tiergate codegen` wrote.
func Level[L ~string](level L) CheckOption { return func(check *Check) { check.Level = string(level) } }

// Answer is a decision.
type Answer struct {
	Allowed     bool        `json:"allowed"`
	Reason      string      `json:"reason"` // why; if you do not know a reason, use Allowed alone
	Feature     string      `json:"feature"`
	Type        string      `json:"type"`   // switch, quantity, range or custom; empty until the sidecar has a catalog
	Status      string      `json:"status"` // how the feature works at present; empty if it is operational
	Entitlement Entitlement `json:"entitlement"`
	Sources     []Source    `json:"sources"`
	Policies    []string    `json:"policies"`
	Publication int         `json:"publication"`
	Revision    string      `json:"revision"`
	ValidUntil  *time.Time  `json:"valid_until"` // the next instant at which it may change by itself; nil if there is none
	ResetsAt    *time.Time  `json:"resets_at"`   // the end of the window in which usage is counted; nil if there is none
	Stale       bool        `json:"stale"`       // whether the sidecar's data is older than its limit
	Scale       int         `json:"scale"`       // in a list: the most decimal digits of the feature's numbers
	DecisionID  string      `json:"-"`           // names it in the decision log, for `tiergate replay`; empty in a list
}

// Entitlement is what a subject has, whatever was decided. Numbers that do not apply are empty.
type Entitlement struct {
	// Value is a bool of a switch, a string or nil of a custom feature, else a Number; nil if it is unlimited.
	Value     any    `json:"value"`
	Unlimited bool   `json:"unlimited"`
	Unit      string `json:"unit"`
	Used      Number `json:"used"` // of a quantity, before the amount of a check, and after that of a consumption
	Remaining Number `json:"remaining"`
	Granted   Number `json:"granted"` // how much of Value is granted units
	Overage   Number `json:"overage"` // how much is used above the limit
	Caps      *Caps  `json:"caps"`
}

// Caps are those of a feature beside the entitlement: for everybody together, and for each user.
type Caps struct {
	Total   Number `json:"total"`
	PerUser Number `json:"per_user"`
}

// Source is an item or an override that contributed.
type Source struct {
	Item         string `json:"item"`
	Version      int    `json:"version"`
	Quantity     Number `json:"quantity"`
	Override     string `json:"override"`
	Mode         string `json:"mode"`
	Subscription string `json:"subscription"`
	Value        any    `json:"value"`
	Unlimited    bool   `json:"unlimited"`
	Add          any    `json:"add"`
}

// Explanation says why a check is answered as it is.
type Explanation struct {
	Answer    Answer
	Sentences []string       // for people, the answer first
	Reasoning map[string]any // the same as data
}

// UnmarshalJSON reads the sidecar's answer.
func (e *Explanation) UnmarshalJSON(text []byte) error {
	var known struct {
		Decision  *Answer  `json:"decision"`
		Sentences []string `json:"sentences"`
	}
	if err := decode(text, &known); err != nil {
		return err
	}
	if known.Decision == nil {
		return fmt.Errorf("an explanation without a decision")
	}
	e.Answer, e.Sentences = *known.Decision, known.Sentences
	return decode(text, &e.Reasoning)
}

// Result is the answer to one of several checks, or its mistake.
type Result struct {
	Answer Answer
	Err    *RequestError
}

// UnreachableError says that nobody answers in time, or that the sidecar cannot decide; it is no denial.
type UnreachableError struct {
	URL   string
	Cause error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no answer from %s: %v", e.URL, e.Cause)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Cause }

// RequestError is a mistake in a request, which no repetition mends.
type RequestError struct {
	Status     int
	Type       string // such as urn:tiergate:problem:unknown-feature
	Detail     string
	Field      string // the wrong field as a JSON Pointer; empty if it is the request as a whole
	Suggestion string // what was probably meant
}

func (e *RequestError) Error() string { return e.Detail }

// refused is a mistake that is found before anything is sent.
func refused(field, detail string) *RequestError {
	return &RequestError{Status: http.StatusBadRequest, Type: invalidRequest, Detail: detail, Field: field}
}

// IsUnknownFeature reports whether the catalog has no such feature.
func (e *RequestError) IsUnknownFeature() bool { return e.Type == unknownFeature }

type problem struct {
	Status     int    `json:"status"`
	Type       string `json:"type"`
	Title      string `json:"title"`
	Detail     string `json:"detail"`
	Field      string `json:"field"`
	Suggestion string `json:"suggestion"`
}

func (p problem) asError(status int) *RequestError {
	if status == 0 {
		status = p.Status
	}
	detail := p.Detail
	if detail == "" {
		detail = p.Title
	}
	return &RequestError{Status: status, Type: p.Type, Detail: detail, Field: p.Field, Suggestion: p.Suggestion}
}

// Trace identifies a request in the decision log and in traces.
type Trace struct {
	RequestID   string // 1 to 128 letters, digits and ._~:/+=@-
	Traceparent string // W3C Trace Context
}

type traceKey struct{}

// WithTrace returns a context whose calls have this trace.
func WithTrace(ctx context.Context, trace Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

func traceOf(ctx context.Context) Trace {
	trace, _ := ctx.Value(traceKey{}).(Trace)
	return trace
}
