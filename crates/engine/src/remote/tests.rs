use std::collections::VecDeque;

use base::ShardSet;
use ql_promql::ast::Expr;
use ql_promql::eval::evaluate;
use ql_promql::memory_source::MemorySource;
use ql_promql::parser::{ParserOptions, parse_expr};
use ql_promql::query::{EngineOptions, EvalContext, QueryParams};
use ql_promql::value::Value;

use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];
type Floats<'a> = &'a [(Pairs<'a>, &'a [(i64, f64)])];

/// Answers in turn what it was told to, and remembers what it was asked.
#[derive(Debug, Default)]
struct Told {
    answers: Mutex<VecDeque<Result<Vec<RemoteSeries>, RemoteError>>>,
    asked: Mutex<Vec<String>>,
}

struct Ready(Result<RemoteAnswer, RemoteError>);

impl PendingRead for Ready {
    fn wait(self: Box<Self>) -> Result<RemoteAnswer, RemoteError> {
        self.0
    }
}

impl RemoteSource for Told {
    fn begin(&self, request: RemoteRequest) -> Box<dyn PendingRead> {
        let matchers: Vec<String> = request.matchers.iter().map(ToString::to_string).collect();
        let asked = format!("{} {}..{}", matchers.join(","), request.start_ms, request.end_ms);
        self.asked.lock().push(asked);
        let answer = self.answers.lock().pop_front().unwrap_or_else(|| Ok(Vec::new()));
        let charge = request.budget.charge(64).unwrap();
        Box::new(Ready(answer.map(|series| RemoteAnswer { series, charge })))
    }
}

fn told(answers: Vec<Result<Floats<'_>, &str>>) -> Arc<Told> {
    let series = |floats: Floats<'_>| -> Vec<RemoteSeries> {
        let one = |(labels, samples): &(Pairs<'_>, &[(i64, f64)])| RemoteSeries {
            labels: Labels::from_pairs(labels.iter().copied()),
            samples: SeriesBuffer {
                float_ts: samples.iter().map(|(t, _)| *t).collect(),
                float_values: samples.iter().map(|(_, v)| *v).collect(),
                ..SeriesBuffer::default()
            },
        };
        floats.iter().map(one).collect()
    };
    let answer = |answer: Result<Floats<'_>, &str>| {
        answer.map(series).map_err(|text| RemoteError::Failed(text.to_owned()))
    };
    let answers = Mutex::new(answers.into_iter().map(answer).collect());
    Arc::new(Told { answers, asked: Mutex::default() })
}

fn remote(source: &Arc<Told>) -> Remote {
    Remote {
        source: Arc::clone(source) as Arc<dyn RemoteSource>,
        external_labels: Labels::empty(),
        required_matchers: Vec::new(),
        read_recent: true,
    }
}

fn source(local: Floats<'_>, remotes: Vec<Remote>, oldest_local_ms: Option<i64>) -> JoinedSource {
    let mut memory = MemorySource::new();
    for (labels, samples) in local {
        let labels = Labels::from_pairs(labels.iter().copied());
        samples.iter().for_each(|(t, v)| memory.append_float(&labels, *t, *v, 0));
    }
    let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
    JoinedSource::new(
        TenantId::anonymous(),
        Arc::new(memory),
        remotes.into(),
        oldest_local_ms,
        budget,
        cancel,
    )
}

fn selected(source: &JoinedSource, times: (i64, i64)) -> Vec<String> {
    selected_in(source, times, &ShardSet::ALL)
}

fn selected_in(source: &JoinedSource, times: (i64, i64), shards: &ShardSet) -> Vec<String> {
    let matchers = [Matcher::equal("__name__", "up")];
    let request = SelectRequest {
        matchers: &matchers,
        start_ms: times.0,
        end_ms: times.1,
        with_start_timestamps: false,
        shards,
    };
    let set = source.select(&request).unwrap();
    let mut buffer = SeriesBuffer::default();
    let mut shown = Vec::new();
    for idx in 0..set.len() {
        set.read(idx, &mut buffer).unwrap();
        let samples: Vec<String> =
            buffer.float_ts.iter().zip(&buffer.float_values).map(|(t, v)| format!("{v}@{t}")).collect();
        shown.push(format!("{} {}", set.labels(idx), samples.join(" ")));
    }
    shown
}

#[test]
fn remotes_are_asked_for_what_concerns_them() {
    const HOUR: i64 = 3_600_000;
    let check = |change: &dyn Fn(&mut Remote), times: (i64, i64), oldest: Option<i64>, wanted: &[&str]| {
        let told = told(Vec::new());
        let mut asked = remote(&told);
        change(&mut asked);
        selected(&source(&[], vec![asked], oldest), times);
        assert_eq!(*told.asked.lock(), wanted);
    };
    let by_name = "__name__=\"up\"";
    check(&|_| {}, (1, 9), Some(5), &[&format!("{by_name} 1..9")]);
    let not_recent = |r: &mut Remote| r.read_recent = false;
    check(&not_recent, (1, 9 * HOUR), Some(HOUR), &[&format!("{by_name} 1..{}", 5 * HOUR)]);
    check(&not_recent, (1, HOUR), Some(HOUR), &[&format!("{by_name} 1..{HOUR}")]);
    check(&not_recent, (6 * HOUR, 9 * HOUR), Some(HOUR), &[]);
    check(&not_recent, (1, 9), None, &[&format!("{by_name} 1..9")]);
    let requires = |name: &str, value: &str| {
        let pair = (name.to_owned(), value.to_owned());
        move |r: &mut Remote| r.required_matchers = vec![pair.clone()]
    };
    check(&requires("__name__", "up"), (1, 9), None, &[&format!("{by_name} 1..9")]);
    check(&requires("__name__", "down"), (1, 9), None, &[]);
    check(&requires("job", "a"), (1, 9), None, &[]);
    let external = |name: &'static str| {
        move |r: &mut Remote| r.external_labels = Labels::from_pairs([(name, "x"), ("z", "y")])
    };
    check(&external("site"), (1, 9), None, &[&format!("{by_name},site=\"x\",z=\"y\" 1..9")]);
    check(&external("__name__"), (1, 9), None, &[&format!("{by_name},z=\"y\" 1..9")]);
}

#[test]
fn each_shard_of_an_answer_is_given_once() {
    let series: Vec<_> = ["a", "b", "c", "d", "e"].map(|job| [("__name__", "up"), ("job", job)]).to_vec();
    let samples = [(1, 1.0)];
    let floats: Vec<_> = series.iter().map(|labels| (&labels[..], &samples[..])).collect();
    let remote_of = || remote(&told(vec![Ok(&floats[..])]));
    let all = selected(&source(&[], vec![remote_of()], None), (1, 9));
    let mut parts = Vec::new();
    for shards in [&ShardSet::from_iter(0..512), &ShardSet::from_iter(512..1024)] {
        parts.extend(selected_in(&source(&[], vec![remote_of()], None), (1, 9), shards));
    }
    parts.sort();
    assert_eq!((parts, all.len()), (all, 5));
}

#[test]
fn answers_are_joined_by_labels_and_time() {
    let up = [("__name__", "up"), ("job", "a")];
    let up_here = [("__name__", "up"), ("job", "a"), ("site", "x")];
    let only_local = [("__name__", "up"), ("job", "b")];
    let only_remote = [("__name__", "up"), ("job", "aa")];
    // Times out of order, before the range, and of samples that are known already.
    let first = told(vec![Ok(&[
        (&only_remote, &[(3, 30.0)]),
        (&up_here, &[(3, 33.0), (1, 1.0), (0, 9.0), (5, 55.0)]),
    ])]);
    let second = told(vec![Ok(&[(&up, &[(1, 11.0), (4, 4.0), (4, 44.0)])])]);
    let mut stripped = remote(&first);
    stripped.external_labels = Labels::from_pairs([("site", "x")]);
    let local: Floats<'_> = &[(&up, &[(3, 3.0), (6, 6.0)]), (&only_local, &[(2, 2.0)])];
    let joined = source(local, vec![stripped, remote(&second)], None);
    let expected = [
        "{__name__=\"up\", job=\"a\"} 1@1 3@3 4@4 55@5 6@6",
        "{__name__=\"up\", job=\"aa\"} 30@3",
        "{__name__=\"up\", job=\"b\"} 2@2",
    ];
    assert_eq!(selected(&joined, (1, 9)), expected);
    assert!(joined.warnings().is_empty() && !joined.is_torn());
    assert_eq!(joined.budget.used_bytes(), 0);
}

/// As upstream: a remote that fails is a warning, and what it gave to other selectors does not count.
#[test]
fn a_remote_answers_all_selectors_or_none() {
    let (a, b) = ([("__name__", "a")], [("__name__", "b")]);
    let good: Floats<'_> = &[(&a, &[(1, 1.0)])];
    let broken = told(vec![Ok(good), Err("gone"), Ok(good)]);
    let whole = told(vec![Ok(&[]), Ok(&[(&b, &[(1, 2.0)])]), Ok(&[]), Ok(&[(&b, &[(1, 2.0)])])]);
    let joined = source(&[], vec![remote(&broken), remote(&whole)], None);
    let expr: Expr = parse_expr("count(a) or count(b)", &ParserOptions::default()).unwrap();
    let value = |source: &JoinedSource| {
        let params = QueryParams::instant(&expr, 1);
        let output = evaluate(&EngineOptions::default(), &params, source, &EvalContext::unbounded());
        match output.unwrap().value {
            Value::Vector { samples, .. } => samples.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((value(&joined), joined.is_torn()), (1, true));
    let again = joined.without_failed();
    assert_eq!((value(&again), again.is_torn()), (1, false));
    assert_eq!(again.warnings(), ["gone"]);
    assert_eq!((broken.asked.lock().len(), whole.asked.lock().len()), (2, 4));
}
