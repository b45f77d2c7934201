// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPayToken} from "./IPayToken.sol";
import {IPredicates} from "./IPredicates.sol";
import {ISplit} from "./ISplit.sol";
import {Authorization, Money} from "./Money.sol";

/// @title Money held for work until the work is accepted
/// @notice A buyer funds a job: a budget for tasks, a whole vector database, a computation. The provider is paid what
/// is accepted; the rest goes back. Nobody owns this contract, and nobody can take its money otherwise.
///
/// Definitions:
///   job id = keccak(abi.encode(chain id, this contract, job)); storage holds one slot a job, under its id
///   paid   what the provider got of the job; it only grows. Always: paid + held + refunded = amount,
///          and balance >= sum of held, for each token
///   Acceptance(bytes32[] jobs, uint96[] cumulatives, uint64 expiry), EIP-712 in this contract's domain: of job i,
///   cumulative i is accepted in all. It pays the difference to what was paid, so showing it twice pays once.
///
/// What accepts, in every kind: the buyer's signed acceptance, of a part or all. And by the job's kind:
///   Result   all is accepted by bytes whose keccak is `predicate`
///   Panel    k of n named evaluators sign an acceptance; predicate = keccak(abi.encodePacked(uint256 k, address[] n)),
///            each address a word, in ascending order
///   Staked   evaluators sign who together hold at least `predicate` millionths of all evaluators' stake
///   Sampled  `predicate` is the ordered root of the units' hashes. The provider declares the first u of the job's
///            units delivered: amount u / units is due. Within `window` the buyer may name up to 32 of these, which
///            must then be opened here against the root within another `window`
///   Gold     the provider posts one byte an answer for all units. Within `window` the buyer may open the test that it
///            committed to: predicate = keccak(test), test = salt, the least number of right answers as two bytes, and
///            for each question, by position, four bytes of position and one of answer. All is due if it is passed
///
/// Who gains by refusing:
///   - A provider that delivers nothing or garbage: nothing is accepted (Result, Panel, Staked), the named units cannot
///     be opened (Sampled), the test fails (Gold). The rest goes back to the buyer.
///   - A buyer that is silent or refuses: is not asked (Result, Panel, Staked), or its silence accepts when `window`
///     has passed (Sampled, Gold). It can take nothing back before the deadline. A buyer that names units out of spite
///     costs the provider at most 32 openings. A buyer may set a wrong test, which shows only when it is opened: a
///     provider that does not trust the buyer takes Panel or Staked.
///   - Evaluators that are silent: what they did not sign by the deadline is not accepted and goes back. Both sides
///     knew them when they agreed; their stakes can be slashed by the DAO.
///   - A provider that holds the units but keeps them from the buyer (Sampled): it can open what is named and be paid,
///     but gains nothing by holding back. A buyer to whom that matters takes the units sealed first and funds a Result
///     job for the key. Units opened here, answers and results are public; answers can be masked by a shared pad.
///   - A receiver that cannot be paid: is credited at the split, and stops nobody else.
/// @dev A call for one job refuses what cannot be done; a batch leaves it out, so that nobody spoils a batch by sending
/// one of its jobs first. A batch in which nothing can be done is refused.
contract Escrow is ReentrancyGuardTransient {
    using SafeERC20 for IPayToken;
    using Money for IPayToken;

    /// @notice How far a job is.
    enum Stage {
        None,
        Funded,
        Delivered,
        Sampled,
        Closed
    }

    /// @notice What buyer and provider agreed. `subject`: the hash of the document that says what it is about.
    /// `splitKey`: whose shares the pay is split by, zero to pay the provider alone. `window`: seconds to answer, only
    /// in kinds Sampled and Gold. `units`: into how many equal parts the work falls.
    struct Job {
        address buyer;
        address provider;
        IPayToken token;
        uint96 amount;
        uint64 deadline;
        uint64 window;
        uint32 units;
        IPredicates.Kind kind;
        bytes32 predicate;
        bytes32 splitKey;
        bytes32 subject;
        uint256 nonce;
    }

    /// @notice What is stored of a job. `since`: when it came to this stage. `units`: how many were declared delivered.
    struct Standing {
        Stage stage;
        uint64 since;
        uint32 units;
        uint96 paid;
    }

    /// @dev One payment under way, which the next one joins if it goes to the same receiver.
    struct Payout {
        IPayToken token;
        address to;
        bytes32 splitKey;
        uint256 amount;
    }

    /// @notice The longest that a job may run, in seconds.
    uint256 public constant MAX_DURATION = 365 days;
    /// @notice The longest window, in seconds.
    uint256 public constant MAX_WINDOW = 30 days;
    /// @notice The type of what a buyer or an evaluator signs.
    bytes32 public constant ACCEPTANCE_TYPEHASH =
        keccak256("Acceptance(bytes32[] jobs,uint96[] cumulatives,uint64 expiry)");
    bytes32 private constant _DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    /// @notice Says which tokens may be used, and takes what is paid to shares.
    ISplit public immutable split;
    /// @notice Says what counts as accepted.
    IPredicates public immutable predicates;

    mapping(bytes32 id => Standing) private _standings;
    /// @dev Kind Sampled: the hash of the named positions. Kind Gold: the hash of the answers.
    mapping(bytes32 id => bytes32) private _evidence;

    /// @notice An address that must name somebody is zero.
    error ZeroAddress();
    /// @notice A hash that must say something is zero.
    error ZeroHash();
    /// @notice Arrays or bytes that belong together differ in length.
    error LengthDiffers(uint256 given, uint256 required);
    /// @notice The jobs of this batch must have the same buyer, token, kind or predicate as its first.
    error BatchMixed(uint256 index);
    /// @notice Only this account may do that.
    error NotParty(address caller, address required);
    /// @notice A number or time is not within what is allowed.
    error OutOfBounds(uint256 given, uint256 least, uint256 most);
    /// @notice This token is not on the list of pay tokens.
    error TokenNotAllowed(address token);
    /// @notice This job is not at the stage that this step requires.
    error WrongStage(bytes32 id, Stage stage, Stage required);
    /// @notice This step belongs to another kind of job.
    error WrongKind(IPredicates.Kind kind, IPredicates.Kind required);
    /// @notice The time for this step is over.
    error TooLate(bytes32 id, uint64 deadline, uint64 time);
    /// @notice The time for this step has not come.
    error TooEarly(bytes32 id, uint64 from, uint64 time);
    /// @notice Nothing can be done, because it is done already or its time is over.
    error NothingToDo();

    event JobFunded(bytes32 indexed id, address indexed buyer, address indexed provider, Job job);
    event JobDelivered(bytes32 indexed id, uint32 units, bytes answers);
    event JobSampled(bytes32 indexed id, bytes positions);
    event JobJudged(bytes32 indexed id, uint256 right, uint256 required);
    event JobPaid(bytes32 indexed id, address indexed provider, uint256 amount, uint256 cumulative);
    event JobClosed(bytes32 indexed id, uint256 paid, uint256 refunded);

    constructor(ISplit split_, IPredicates predicates_) {
        require(address(split_) != address(0) && address(predicates_) != address(0), ZeroAddress());
        split = split_;
        predicates = predicates_;
    }

    /// @notice Fund jobs in one token by the caller, their buyer, which allowed this contract to take the sum.
    function fund(Job[] memory jobs) external nonReentrant {
        (uint256 sum,) = _fund(jobs);
        require(jobs[0].buyer == msg.sender, NotParty(msg.sender, jobs[0].buyer));
        jobs[0].token.take(msg.sender, sum);
    }

    /// @notice Fund jobs by the buyer's EIP-3009 ReceiveWithAuthorization of the sum to this contract, whose nonce is
    /// keccak(abi.encodePacked(bytes32[] ids)) of the jobs. Anyone may send it.
    function fundByAuthorization(Job[] memory jobs, Authorization calldata authorization) external nonReentrant {
        (uint256 sum, bytes32 nonce) = _fund(jobs);
        jobs[0].token.takeSigned(jobs[0].buyer, sum, nonce, authorization);
    }

    /// @notice Pay what is accepted by signatures: by the buyer of all these jobs, or by evaluators of jobs that have
    /// one kind, Panel or Staked, and one predicate. Anyone may send them. `approval`: see Predicates.
    function claim(Job[] memory jobs, uint96[] memory cumulatives, uint64 expiry, bytes calldata approval)
        external
        nonReentrant
    {
        bytes32[] memory ids = _ids(jobs);
        Job memory first = jobs[0];
        _checkLength(cumulatives.length, jobs.length);
        _requireBefore(0, expiry);
        bytes32 digest = acceptanceDigest(ids, cumulatives, expiry);
        bool byBuyer = predicates.requireSigned(first.kind, first.predicate, first.buyer, digest, approval);
        for (uint256 i = 1; i < jobs.length; ++i) {
            bool same = byBuyer
                ? jobs[i].buyer == first.buyer
                : jobs[i].kind == first.kind && jobs[i].predicate == first.predicate;
            require(same, BatchMixed(i));
        }
        _payAll(jobs, ids, cumulatives);
    }

    /// @notice Declare `units` units of a job of kind Sampled delivered, or post the answers to one of kind Gold, one
    /// byte for each of its units. Only the provider may, once, before the deadline.
    /// @dev Answers are posted in full, so that the buyer has what it pays for.
    function deliver(Job memory job, uint32 units, bytes calldata answers) external {
        bool gold = job.kind == IPredicates.Kind.Gold;
        (bytes32 id, Standing memory standing) =
            _at(job, gold ? IPredicates.Kind.Gold : IPredicates.Kind.Sampled, Stage.Funded);
        require(msg.sender == job.provider, NotParty(msg.sender, job.provider));
        _requireBefore(id, job.deadline);
        _checkBounds(units, gold ? job.units : 1, job.units);
        _checkLength(answers.length, gold ? units : 0);
        if (gold) _evidence[id] = keccak256(answers);
        standing.units = units;
        _move(id, standing, Stage.Delivered);
        emit JobDelivered(id, units, answers);
    }

    /// @notice Ask for the delivered units at `positions`, four bytes each. Only the buyer may, once, within the
    /// window.
    function sample(Job memory job, bytes calldata positions) external {
        (bytes32 id, Standing memory standing) = _at(job, IPredicates.Kind.Sampled, Stage.Delivered);
        require(msg.sender == job.buyer, NotParty(msg.sender, job.buyer));
        _requireBefore(id, standing.since + job.window);
        predicates.requirePositions(positions, standing.units);
        _evidence[id] = keccak256(positions);
        _move(id, standing, Stage.Sampled);
        emit JobSampled(id, positions);
    }

    /// @notice Show the evidence that decides a job: the result, before the deadline (kind Result), the units that the
    /// buyer named, or its test, within the window (Sampled, Gold). Anyone may. `evidence`: see Predicates.
    function prove(Job memory job, bytes calldata evidence) external nonReentrant {
        IPredicates.Kind kind = job.kind;
        (Stage stage, uint64 deadline) = (Stage.Funded, job.deadline);
        if (kind == IPredicates.Kind.Sampled) stage = Stage.Sampled;
        if (kind == IPredicates.Kind.Gold) stage = Stage.Delivered;
        (bytes32 id, Standing memory standing) = _at(job, kind, stage);
        if (stage == Stage.Funded) standing.units = job.units;
        else deadline = standing.since + job.window;
        _requireBefore(id, deadline);
        (uint256 right, uint256 required) = predicates.judge(kind, job.predicate, _evidence[id], evidence);
        emit JobJudged(id, right, required);
        _finish(job, id, standing, right >= required ? _delivered(job, standing) : 0);
    }

    /// @notice End jobs by what time has decided. A delivery that was not questioned within the window is accepted;
    /// what was not delivered by the deadline, or not opened within the window, goes back to the buyer. Anyone may.
    function settle(Job[] memory jobs) external nonReentrant {
        bytes32[] memory ids = _ids(jobs);
        bool any;
        for (uint256 i = 0; i < jobs.length; ++i) {
            (Job memory job, bytes32 id, Standing memory standing) = (jobs[i], ids[i], _load(ids[i]));
            uint64 from = standing.stage == Stage.Funded ? job.deadline : standing.since + job.window;
            if (!_isLive(standing) || block.timestamp < from) {
                if (jobs.length > 1) continue;
                _requireLive(id, standing);
                revert TooEarly(id, from, uint64(block.timestamp));
            }
            any = true;
            _finish(job, id, standing, standing.stage == Stage.Delivered ? _delivered(job, standing) : 0);
        }
        require(any, NothingToDo());
    }

    /// @notice Give a job up: what was not accepted goes back to the buyer at once. Only the provider may.
    function decline(Job memory job) external nonReentrant {
        bytes32 id = jobId(job);
        require(msg.sender == job.provider, NotParty(msg.sender, job.provider));
        Standing memory standing = _load(id);
        _requireLive(id, standing);
        _finish(job, id, standing, 0);
    }

    /// @notice What is stored of a job; all zero if it was never funded.
    function standingOf(bytes32 id) external view returns (Standing memory) {
        return _load(id);
    }

    /// @notice The digest that a buyer or an evaluator signs to accept.
    function acceptanceDigest(bytes32[] memory ids, uint96[] memory cumulatives, uint64 expiry)
        public
        view
        returns (bytes32)
    {
        // encodePacked pads the elements of an array to words, as EIP-712 does.
        bytes32 jobs = keccak256(abi.encodePacked(ids));
        bytes32 amounts = keccak256(abi.encodePacked(cumulatives));
        bytes32 domain = keccak256(
            abi.encode(_DOMAIN_TYPEHASH, keccak256("Rodagila"), keccak256("1"), block.chainid, address(this))
        );
        return
            MessageHashUtils.toTypedDataHash(domain, keccak256(abi.encode(ACCEPTANCE_TYPEHASH, jobs, amounts, expiry)));
    }

    /// @notice The id of a job.
    function jobId(Job memory job) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), job));
    }

    function _fund(Job[] memory jobs) private returns (uint256 sum, bytes32 nonce) {
        bytes32[] memory ids = _ids(jobs);
        Job memory first = jobs[0];
        require(split.isOpen(first.token), TokenNotAllowed(address(first.token)));
        for (uint256 i = 0; i < jobs.length; ++i) {
            (Job memory job, bytes32 id) = (jobs[i], ids[i]);
            require(job.buyer == first.buyer && address(job.token) == address(first.token), BatchMixed(i));
            _checkTerms(job);
            Standing memory standing = _load(id);
            require(standing.stage == Stage.None, WrongStage(id, standing.stage, Stage.None));
            _move(id, standing, Stage.Funded);
            emit JobFunded(id, job.buyer, job.provider, job);
            sum += job.amount;
        }
        nonce = keccak256(abi.encodePacked(ids));
    }

    function _payAll(Job[] memory jobs, bytes32[] memory ids, uint96[] memory cumulatives) private {
        Payout memory payout;
        bool any;
        for (uint256 i = 0; i < jobs.length; ++i) {
            (Job memory job, bytes32 id, Standing memory standing) = (jobs[i], ids[i], _load(ids[i]));
            _checkBounds(cumulatives[i], 0, job.amount);
            bool over = standing.stage == Stage.Funded && block.timestamp >= job.deadline;
            if (!_isLive(standing) || over || cumulatives[i] <= standing.paid) {
                if (jobs.length > 1) continue;
                _requireLive(id, standing);
                if (over) _requireBefore(id, job.deadline);
                break;
            }
            any = true;
            uint256 due = _pay(job, id, standing, cumulatives[i]);
            if (cumulatives[i] == job.amount) _close(job, id, standing);
            _store(id, standing);
            if (
                payout.to != job.provider || payout.splitKey != job.splitKey
                    || address(payout.token) != address(job.token)
            ) {
                _send(payout);
                payout = Payout(job.token, job.provider, job.splitKey, 0);
            }
            payout.amount += due;
        }
        require(any, NothingToDo());
        _send(payout);
    }

    /// @dev The end of a job: pay up to `cumulative`, give the rest back.
    function _finish(Job memory job, bytes32 id, Standing memory standing, uint256 cumulative) private {
        uint256 due = _pay(job, id, standing, cumulative);
        uint256 rest = _close(job, id, standing);
        _store(id, standing);
        _send(Payout(job.token, job.provider, job.splitKey, due));
        _send(Payout(job.token, job.buyer, 0, rest));
    }

    /// @dev In memory only, as _close: the caller stores.
    function _pay(Job memory job, bytes32 id, Standing memory standing, uint256 cumulative)
        private
        returns (uint256 due)
    {
        if (cumulative <= standing.paid) return 0;
        due = cumulative - standing.paid;
        // casting to 'uint96' is safe because no caller accepts more than the job's amount
        // forge-lint: disable-next-line(unsafe-typecast)
        standing.paid = uint96(cumulative);
        emit JobPaid(id, job.provider, due, cumulative);
    }

    function _close(Job memory job, bytes32 id, Standing memory standing) private returns (uint256 rest) {
        rest = job.amount - standing.paid;
        standing.stage = Stage.Closed;
        emit JobClosed(id, standing.paid, rest);
    }

    function _move(bytes32 id, Standing memory standing, Stage stage) private {
        (standing.stage, standing.since) = (stage, uint64(block.timestamp));
        _store(id, standing);
    }

    function _send(Payout memory payout) private {
        (IPayToken token, address to, bytes32 key, uint256 amount) =
            (payout.token, payout.to, payout.splitKey, payout.amount);
        if (amount == 0 || (key == 0 && token.trySafeTransfer(to, amount))) return;
        token.forceApprove(address(split), amount);
        if (key == 0) split.credit(to, token, amount);
        else split.pay(key, token, amount);
    }

    function _checkTerms(Job memory job) private view {
        require(job.provider != address(0), ZeroAddress());
        require(job.predicate != 0, ZeroHash());
        _checkBounds(job.amount, 1, type(uint96).max);
        _checkBounds(job.units, 1, type(uint32).max);
        _checkBounds(job.deadline, block.timestamp + 1, block.timestamp + MAX_DURATION);
        bool waits = job.kind == IPredicates.Kind.Sampled || job.kind == IPredicates.Kind.Gold;
        _checkBounds(job.window, waits ? 1 : 0, waits ? MAX_WINDOW : 0);
        if (job.kind == IPredicates.Kind.Staked) _checkBounds(uint256(job.predicate), 1, 1_000_000);
    }

    function _at(Job memory job, IPredicates.Kind kind, Stage stage)
        private
        view
        returns (bytes32 id, Standing memory standing)
    {
        id = jobId(job);
        standing = _load(id);
        require(job.kind == kind, WrongKind(job.kind, kind));
        require(standing.stage == stage, WrongStage(id, standing.stage, stage));
    }

    function _load(bytes32 id) private view returns (Standing memory) {
        return _standings[id];
    }

    function _store(bytes32 id, Standing memory standing) private {
        _standings[id] = standing;
    }

    function _ids(Job[] memory jobs) private view returns (bytes32[] memory ids) {
        _checkBounds(jobs.length, 1, type(uint256).max);
        ids = new bytes32[](jobs.length);
        for (uint256 i = 0; i < jobs.length; ++i) {
            ids[i] = jobId(jobs[i]);
        }
    }

    function _requireBefore(bytes32 id, uint64 deadline) private view {
        require(block.timestamp < deadline, TooLate(id, deadline, uint64(block.timestamp)));
    }

    function _requireLive(bytes32 id, Standing memory standing) private pure {
        require(_isLive(standing), WrongStage(id, standing.stage, Stage.Funded));
    }

    function _delivered(Job memory job, Standing memory standing) private pure returns (uint256) {
        return uint256(job.amount) * standing.units / job.units;
    }

    function _isLive(Standing memory standing) private pure returns (bool) {
        return standing.stage != Stage.None && standing.stage != Stage.Closed;
    }

    function _checkBounds(uint256 given, uint256 least, uint256 most) private pure {
        require(given >= least && given <= most, OutOfBounds(given, least, most));
    }

    function _checkLength(uint256 given, uint256 required) private pure {
        require(given == required, LengthDiffers(given, required));
    }
}
