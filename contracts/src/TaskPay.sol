// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Escrow} from "./Escrow.sol";
import {IPayToken} from "./IPayToken.sol";

/// @title Pay for a batch of tasks, to many accounts from one job of the escrow
/// @notice The budget of a batch lies in the escrow before its first task is handed out, in a job whose provider is this
/// contract and whose subject is the hash of the batch's terms: its tasks with their prices, its rules, its people.
///
/// Definitions:
///   batch  a job of the escrow with this contract as provider; its id is the job's id
///   leaf   keccak(keccak(abi.encode(chain id, this contract, batch id, account, amount)))
///   Commitments(bytes32 job,bytes32 root,uint32 responses), Settlement(bytes32 job,bytes32 root,uint96 paid,
///          bytes32 publicHash): EIP-712 in this contract's domain, signed by the evaluators whom the job names
///
/// In their order: `commit` fixes all responses, which are still hidden, by their root. The hash of the block after it is
/// the seed by which peers are drawn: nobody knew it when she responded. `settle` draws what is paid out of the escrow,
/// gives the rest back to the buyer at once, and opens the claims. Always, for a batch:
///   paid + returned = budget,  paid = claimed + left
///
/// Who gains by refusing:
///   - A buyer cannot: it signs neither step, and takes nothing back before the deadline of the job.
///   - Evaluators that are silent let the deadline pass, and the budget goes back; both sides knew them from the job.
///     Evaluators that lie are shown to do so by the public file, whose hash they sign: anyone recomputes the pay.
///   - An account that cannot be paid stops nobody else: its claim is left out and can be made again.
contract TaskPay is ReentrancyGuardTransient {
    using SafeERC20 for IPayToken;

    /// @notice What is stored of the responses of a batch: their root, how many, and the block that fixed them.
    struct Fixed {
        bytes32 root;
        uint64 blockNumber;
        uint32 responses;
    }

    /// @notice What is stored of a settled batch. `left`: what was not claimed yet.
    struct Settled {
        bytes32 root;
        IPayToken token;
        uint96 left;
    }

    /// @notice What evaluators say came of a batch: the root of the pay, its sum, the hash of the public file.
    struct Outcome {
        bytes32 root;
        uint96 paid;
        bytes32 publicHash;
    }

    /// @notice The type of what evaluators sign of the responses.
    bytes32 public constant COMMITMENTS_TYPEHASH = keccak256("Commitments(bytes32 job,bytes32 root,uint32 responses)");
    /// @notice The type of what evaluators sign of the pay.
    bytes32 public constant SETTLEMENT_TYPEHASH =
        keccak256("Settlement(bytes32 job,bytes32 root,uint96 paid,bytes32 publicHash)");
    bytes32 private constant _DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    /// @notice Holds the budgets.
    Escrow public immutable escrow;

    /// @notice Whether an account has had its pay of a batch.
    mapping(bytes32 id => mapping(address account => bool)) public claimed;

    mapping(bytes32 id => Fixed) private _fixed;
    mapping(bytes32 id => Settled) private _settled;

    /// @notice An address that must name somebody is zero.
    error ZeroAddress();
    /// @notice A hash that must say something is zero.
    error ZeroHash();
    /// @notice The job's provider must be this contract, and its shares nobody's.
    error NotBatch(address provider, bytes32 splitKey);
    /// @notice The buyer cannot sign this alone: it takes the evaluators whom the job names.
    error EvaluatorsOnly();
    /// @notice The responses of this batch are fixed already.
    error CommitmentsKnown(bytes32 id);
    /// @notice The seed of this batch is not known before the second block after its responses were fixed.
    error TooEarly(bytes32 id, uint64 least, uint256 given);
    /// @notice This batch is settled already.
    error SettlementKnown(bytes32 id);
    /// @notice Arrays that belong together differ in length.
    error LengthDiffers(uint256 given, uint256 required);
    /// @notice The proof does not lead from this account and amount to the root.
    error ProofInvalid(address account, uint256 amount);
    /// @notice The leaves of this batch come to more than was paid for it.
    error PaidExceeded(uint256 given, uint256 left);
    /// @notice Nothing can be done, because it is done already or cannot be paid now.
    error NothingToDo();

    event ResponsesCommitted(bytes32 indexed id, bytes32 root, uint32 responses);
    event BatchSettled(bytes32 indexed id, bytes32 root, uint256 paid, uint256 returned, bytes32 publicHash);
    event PayClaimed(bytes32 indexed id, address indexed account, uint256 amount);

    constructor(Escrow escrow_) {
        require(address(escrow_) != address(0), ZeroAddress());
        escrow = escrow_;
    }

    /// @notice Fix the responses of a batch by the root of their digests, once. Anyone sends what the evaluators signed.
    function commit(Escrow.Job memory job, bytes32 root, uint32 responses, bytes calldata approval) external {
        bytes32 id = _batchId(job);
        require(root != 0, ZeroHash());
        require(_fixed[id].root == 0, CommitmentsKnown(id));
        _requireEvaluators(job, keccak256(abi.encode(COMMITMENTS_TYPEHASH, id, root, responses)), approval);
        _fixed[id] = Fixed(root, uint64(block.number), responses);
        emit ResponsesCommitted(id, root, responses);
    }

    /// @notice Draw what is paid out of the escrow by the evaluators' `acceptance` of it, give the rest back, and open
    /// the claims against `outcome.root`, once. Anyone sends what the evaluators signed. `expiry`: of the acceptance.
    function settle(
        Escrow.Job memory job,
        Outcome calldata outcome,
        uint64 expiry,
        bytes calldata acceptance,
        bytes calldata approval
    ) external nonReentrant {
        bytes32 id = _batchId(job);
        require(outcome.publicHash != 0 && (outcome.root != 0 || outcome.paid == 0), ZeroHash());
        require(address(_settled[id].token) == address(0), SettlementKnown(id));
        Fixed memory known = _fixed[id];
        require(
            known.root != 0 && block.number > known.blockNumber + 1, TooEarly(id, known.blockNumber + 2, block.number)
        );
        bytes32 what = keccak256(abi.encode(SETTLEMENT_TYPEHASH, id, outcome.root, outcome.paid, outcome.publicHash));
        _requireEvaluators(job, what, approval);
        _settled[id] = Settled(outcome.root, job.token, outcome.paid);
        uint256 paid = _draw(job, id, outcome.paid, expiry, acceptance);
        emit BatchSettled(id, outcome.root, outcome.paid, job.amount - outcome.paid, outcome.publicHash);
        // A buyer that accepted more by itself has the difference back.
        if (paid > outcome.paid) job.token.safeTransfer(job.buyer, paid - outcome.paid);
    }

    /// @notice Send accounts of one batch what their leaves say. Who was paid, or cannot be paid now, is left out.
    function claim(bytes32 id, address[] calldata accounts, uint96[] calldata amounts, bytes32[][] calldata proofs)
        external
        nonReentrant
    {
        _checkLength(amounts.length, accounts.length);
        _checkLength(proofs.length, accounts.length);
        Settled memory settled = _settled[id];
        bool any;
        for (uint256 i = 0; i < accounts.length; ++i) {
            bytes32 leaf = payLeaf(id, accounts[i], amounts[i]);
            require(MerkleProof.verifyCalldata(proofs[i], settled.root, leaf), ProofInvalid(accounts[i], amounts[i]));
            if (!_send(id, settled, accounts[i], amounts[i])) continue;
            any = true;
            settled.left -= amounts[i];
        }
        require(any, NothingToDo());
        _settled[id].left = settled.left;
    }

    /// @notice What is stored of a batch's responses; all zero if they are not fixed.
    function commitmentsOf(bytes32 id) external view returns (Fixed memory) {
        return _fixed[id];
    }

    /// @notice What is stored of a settled batch; all zero if it is not settled.
    function settledOf(bytes32 id) external view returns (Settled memory) {
        return _settled[id];
    }

    /// @notice The leaf of an account in the root of a batch's pay.
    function payLeaf(bytes32 id, address account, uint256 amount) public view returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(block.chainid, address(this), id, account, amount))));
    }

    /// @notice The digest of a struct hash in this contract's domain.
    function digestOf(bytes32 structHash) public view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(_DOMAIN_TYPEHASH, keccak256("Rodagila"), keccak256("1"), block.chainid, address(this))
        );
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    /// @dev Returns what the escrow paid for the batch in all. Whatever it pays for this job comes here, since this
    /// contract is the provider; so somebody who shows the acceptance first spoils nothing.
    function _draw(Escrow.Job memory job, bytes32 id, uint96 paid, uint64 expiry, bytes calldata acceptance)
        private
        returns (uint256)
    {
        if (escrow.standingOf(id).paid < paid) {
            Escrow.Job[] memory jobs = new Escrow.Job[](1);
            uint96[] memory amounts = new uint96[](1);
            (jobs[0], amounts[0]) = (job, paid);
            escrow.claim(jobs, amounts, expiry, acceptance);
        }
        if (escrow.standingOf(id).stage == Escrow.Stage.Funded) escrow.decline(job);
        return escrow.standingOf(id).paid;
    }

    /// @dev Returns whether the account was paid now.
    function _send(bytes32 id, Settled memory settled, address account, uint96 amount) private returns (bool) {
        if (claimed[id][account]) return false;
        require(amount <= settled.left, PaidExceeded(amount, settled.left));
        claimed[id][account] = true;
        if (!settled.token.trySafeTransfer(account, amount)) {
            claimed[id][account] = false;
            return false;
        }
        emit PayClaimed(id, account, amount);
        return true;
    }

    function _requireEvaluators(Escrow.Job memory job, bytes32 structHash, bytes calldata approval) private view {
        bool byBuyer =
            escrow.predicates().requireSigned(job.kind, job.predicate, job.buyer, digestOf(structHash), approval);
        require(!byBuyer, EvaluatorsOnly());
    }

    function _batchId(Escrow.Job memory job) private view returns (bytes32) {
        require(job.provider == address(this) && job.splitKey == 0, NotBatch(job.provider, job.splitKey));
        return escrow.jobId(job);
    }

    function _checkLength(uint256 given, uint256 required) private pure {
        require(given == required, LengthDiffers(given, required));
    }
}
