"""Hyperparameters by optuna: trials kept in a study file, hopeless ones cut short, the best found without labels."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import optuna
from optuna.trial import TrialState
from sklearn.metrics import roc_auc_score
from sqlalchemy.exc import SQLAlchemyError

from agent.errors import ConfigError, Problem
from export import devices, train
from export.data import Recordings
from export.dataset import DatasetFile
from export.label_free import LabelFree, judge
from export.models import registered
from export.models.detector import Detector
from export.models.family import Option, Value
from export.options import known, split
from export.training_run import Settings, training_windows
from export.windows import Windows, split_tail, stack, stack_labels

_JUDGED_SHARE = 0.25  # of the windows of each train run, the latest
_OVER = (TrialState.COMPLETE, TrialState.PRUNED)
_WINDOWS_KEPT = 2  # cut recordings, one for each window and hop that was tried last
_SURE_EPOCHS, _SURE_TRIALS = 5, 5  # before which no trial is cut short

Told = Callable[["Trial"], None]


@dataclass(frozen=True, slots=True)
class Search:
    """What may be tuned beside the family's options: the window and the hop, in cells, are one of those given."""

    family: str
    windows: tuple[int, ...]
    hops: tuple[int, ...]
    seed: int
    epochs: int
    trials: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One that is over. `value` is None where it was cut short or refused; `remark` says which."""

    number: int
    value: float | None
    params: Mapping[str, Value]
    remark: str


@dataclass(frozen=True, slots=True)
class Tuned:
    """Every trial that is over, the best one, and what to train with its values."""

    trials: tuple[Trial, ...]
    best: Trial
    settings: Settings


def tune(
    source: DatasetFile, recordings: Recordings, search: Search, file: Path, *, compute: devices.Compute, told: Told
) -> Tuned:
    """Go on with the study in `file` until `search.trials` are over; `told` hears of each.

    The same data, search and seed end in the same study, however often it was interrupted. One process at a time. Raises ConfigError
    for a file of another study, and where no trial succeeds.
    """
    study = _opened(file, _identity(source, recordings, search))
    objective = _Objective(source, recordings, search, compute)
    for cut_off in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(cut_off.number, state=TrialState.FAIL)  # its process was killed
    while (over := len(study.get_trials(deepcopy=False, states=_OVER))) < search.trials:
        study.sampler = optuna.samplers.TPESampler(seed=_seed(search.seed, over))
        trial = study.ask()
        try:
            study.tell(trial, objective(trial))
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except ConfigError as error:
            trial.set_user_attr("refused", str(error))
            study.tell(trial, state=TrialState.PRUNED)
        told(_trial(study.trials[trial.number]))
    trials = tuple(_trial(each) for each in study.get_trials(states=_OVER))
    return Tuned(trials, best := _best(trials), _settings(search, best.params))


class _Objective:
    """Trains on the earlier windows and judges on the later ones, which training never sees."""

    def __init__(self, source: DatasetFile, recordings: Recordings, search: Search, compute: devices.Compute) -> None:
        self._source, self._recordings, self._search, self._compute = source, recordings, search, compute
        self._options = known(registered(search.family))
        self._parts = functools.lru_cache(maxsize=_WINDOWS_KEPT)(self._cut)

    def __call__(self, trial: optuna.Trial) -> float:
        settings = _settings(self._search, dict(self._suggest(trial)))
        early, late = self._parts(settings.window, settings.hop)

        def report(epoch: int, train_loss: float, validation_loss: float) -> None:  # noqa: ARG001 - told, not used
            trial.report(-validation_loss, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        contract = self._source.dataset.contract(settings.window, settings.hop)
        plan = replace(settings.plan, kinds=1 + len(self._recordings.kinds))
        model = train.fit(early, contract, plan, report, compute=self._compute).model
        if registered(self._search.family).supervised:
            found = LabelFree(_labelled_auc(model, late), 0.0)
        else:
            found = judge(lambda windows: train.run_model(model, windows)[0], late, self._search.seed)
        trial.set_user_attr("auc", found.auc)
        trial.set_user_attr("spread", found.spread)
        return found.value

    def _suggest(self, trial: optuna.Trial) -> Iterator[tuple[str, Value]]:
        yield "window", int(trial.suggest_categorical("window", self._search.windows))
        yield "hop", int(trial.suggest_categorical("hop", self._search.hops))
        for name, option in self._options.items():
            if _tunable(option):
                yield name, _suggested(trial, name, option)

    def _cut(self, window: int, hop: int) -> tuple[list[Windows], list[Windows]]:
        contract = self._source.dataset.contract(window, hop)
        parts, _, _ = training_windows(self._recordings, contract, self._search.family)
        pairs = [split_tail(part, _JUDGED_SHARE, contract) for part in parts]
        return [early for early, _ in pairs], [late for _, late in pairs]


def _tunable(option: Option) -> bool:
    return option.searched and (bool(option.choices) or (option.low is not None and option.high is not None))


def _suggested(trial: optuna.Trial, name: str, option: Option) -> Value:
    if option.choices:
        return cast("Value", trial.suggest_categorical(name, option.choices))
    assert option.low is not None
    assert option.high is not None
    if isinstance(option.default, int):
        return trial.suggest_int(name, int(option.low), int(option.high), log=option.log)
    return trial.suggest_float(name, option.low, option.high, log=option.log)


def _labelled_auc(model: Detector, late: list[Windows]) -> float:
    """Of a supervised family, whose data has labels."""
    faults = stack_labels(late) != 0
    if faults.all() or not faults.any():
        what = f"the {len(faults)} windows to judge on are all {'faults' if len(faults) and faults.all() else 'normal'}"
        raise ConfigError(
            [Problem("data set", what, "label train runs so that each kind is also in their last quarter")]
        )
    return float(roc_auc_score(faults, train.run_model(model, stack(late))[0]))


def _settings(search: Search, params: Mapping[str, Value]) -> Settings:
    window, hop = int(params["window"]), int(params["hop"])
    rest = {name: value for name, value in params.items() if name not in ("window", "hop")}
    chosen = split(registered(search.family), rest)
    return Settings(search.family, window, hop, search.seed, search.epochs, chosen.options, chosen.training)


def _seed(seed: int, over: int) -> int:
    return int(np.random.SeedSequence([seed, over]).generate_state(1)[0])


def _identity(source: DatasetFile, recordings: Recordings, search: Search) -> str:
    """Of the study, so that its trials can be compared with each other."""
    parts = {
        "data set": source.dataset.name,
        "data": recordings.sha256[:12],
        "seed": search.seed,
        "model": search.family,
        "windows": list(search.windows),
        "hops": list(search.hops),
        "epochs": search.epochs,
    }
    return json.dumps(parts)


def _opened(file: Path, identity: str) -> optuna.Study:
    """The study in `file`, new or as it was left."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_SURE_TRIALS, n_warmup_steps=_SURE_EPOCHS)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.RDBStorage(f"sqlite:///{file.absolute()}")
        study = optuna.create_study(
            storage=storage, study_name="stethos", direction="maximize", pruner=pruner, load_if_exists=True
        )
    except (OSError, RuntimeError, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        raise ConfigError([Problem(str(file), f"is no study: {error}", "give another --study")]) from error
    found = study.user_attrs.get("identity")
    if found is None:
        study.set_user_attr("identity", identity)
    elif found != identity:
        raise ConfigError([Problem(str(file), f"is a study of {found}, not of {identity}", "give another --study")])
    return study


def _trial(trial: optuna.trial.FrozenTrial) -> Trial:
    complete = trial.state == TrialState.COMPLETE
    remark = trial.user_attrs.get("refused", f"cut short in epoch {trial.last_step}")
    if complete:
        remark = f"ROC AUC {trial.user_attrs['auc']:.3f}, {trial.user_attrs['spread']:.3f} apart over time"
    return Trial(trial.number, trial.value if complete else None, dict(trial.params), remark)


def _best(trials: tuple[Trial, ...]) -> Trial:
    """The first of the highest value."""
    judged = [trial for trial in trials if trial.value is not None]
    if not judged:
        raise ConfigError([Problem("tuning", "no trial succeeded", trials[-1].remark)])
    return max(judged, key=lambda trial: (trial.value, -trial.number))
