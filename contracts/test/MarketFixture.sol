// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Escrow} from "../src/Escrow.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {IPredicates} from "../src/IPredicates.sol";
import {IStake} from "../src/IStake.sol";
import {Licenses} from "../src/Licenses.sol";
import {Authorization} from "../src/Money.sol";
import {Owned} from "../src/Owned.sol";
import {PayToken} from "../src/PayToken.sol";
import {Predicates} from "../src/Predicates.sol";
import {Split} from "../src/Split.sol";
import {Stake} from "../src/Stake.sol";
import {Cheats} from "./Cheats.sol";

/// @notice A token that takes one unit of each transfer.
contract FeeToken is PayToken {
    constructor(address faucet_) PayToken(faucet_) {}

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0) && value != 0) super._update(to, address(0), 1);
    }
}

/// @notice A token that refuses to pay some accounts.
contract BlockingToken is PayToken {
    mapping(address account => bool) public blocked;

    error Blocked(address account);

    constructor(address faucet_) PayToken(faucet_) {}

    function setBlocked(address account, bool to) external {
        blocked[account] = to;
    }

    function _update(address from, address to, uint256 value) internal override {
        require(!blocked[to], Blocked(to));
        super._update(from, to, value);
    }
}

/// @notice A token that calls back what it was told to, before it moves anything.
contract ReentrantToken is PayToken {
    address private _target;
    bytes private _call;
    bool public reentered;
    bytes public refusal;

    constructor(address faucet_) PayToken(faucet_) {}

    function arm(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (_target != address(0)) {
            (address target, bytes memory call) = (_target, _call);
            _target = address(0);
            (reentered, refusal) = target.call(call);
        }
        super._update(from, to, value);
    }
}

/// @notice A wallet that is a contract, and signs by its owner's key.
contract Wallet is IERC1271 {
    address private immutable _owner;

    constructor(address owner) {
        _owner = owner;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return ECDSA.recoverCalldata(hash, signature) == _owner ? this.isValidSignature.selector : bytes4(0);
    }
}

/// @notice The market of one DAO on the embedded chain: split, licenses, escrow and stake, a buyer, a provider, three
/// evaluators, and a stranger.
abstract contract MarketFixture is Cheats {
    bytes32 internal constant RECEIVE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    uint256 internal constant BUYER_KEY = 0xB1E4;
    uint256 internal constant PROVIDER_KEY = 0x9401;
    uint256 internal constant START = 1_700_000_000;
    uint256 internal constant MONEY = 1_000_000e6;
    bytes32 internal constant KEY = keccak256("model");
    bytes32 internal constant REENTERED = keccak256(abi.encodeWithSignature("ReentrancyGuardReentrantCall()"));

    address internal immutable owner = address(0xDA0);
    address internal immutable treasury = address(0x7EA5);
    address internal immutable stranger = address(0x57A);
    address internal immutable buyer = vm.addr(BUYER_KEY);
    address internal immutable provider = vm.addr(PROVIDER_KEY);

    PayToken internal token;
    Split internal split;
    Licenses internal licenses;
    Stake internal stakes;
    Predicates internal predicates;
    Escrow internal escrow;

    /// @dev Keys of evaluators, by their addresses ascending.
    uint256[] internal keys;

    function setUp() public virtual {
        vm.chainId(0x726f6461);
        vm.warp(START);
        split = new Split(owner, treasury, IERC20(address(0)));
        _setToken(new PayToken(address(this)));
        licenses = new Licenses(owner, split);
        stakes = new Stake(owner, IPayToken(address(token)), treasury);
        predicates = new Predicates(stakes);
        escrow = new Escrow(split, predicates);
        for (uint256 i = 0; i < 3; ++i) {
            _addKey(uint256(keccak256(abi.encode("evaluator", i))) >> 8);
        }
        address[4] memory rich = [buyer, provider, stranger, owner];
        for (uint256 i = 0; i < rich.length; ++i) {
            _fill(rich[i]);
        }
        for (uint256 i = 0; i < keys.length; ++i) {
            _fill(vm.addr(keys[i]));
        }
    }

    /// @dev Use another token, that the split takes, with money at the buyer.
    function _setToken(PayToken other) internal {
        token = other;
        vm.prank(owner);
        split.setToken(other, true);
        if (address(escrow) != address(0)) _fill(buyer);
    }

    function _fill(address account) private {
        token.drip(account, MONEY);
        address[4] memory takers = [address(split), address(licenses), address(stakes), address(escrow)];
        for (uint256 i = 0; i < takers.length; ++i) {
            vm.prank(account);
            token.approve(takers[i], type(uint256).max);
        }
    }

    function _addKey(uint256 key) private {
        keys.push(key);
        for (uint256 i = keys.length - 1; i > 0 && vm.addr(keys[i]) < vm.addr(keys[i - 1]); --i) {
            (keys[i], keys[i - 1]) = (keys[i - 1], keys[i]);
        }
    }

    function _evaluator(uint256 i) internal view returns (address) {
        return vm.addr(keys[i]);
    }

    function _stake(uint256 i, uint96 amount) internal {
        vm.prank(_evaluator(i));
        stakes.stake(IStake.Role.Evaluator, amount);
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev What `key` signs so that `to` may take `amount` of it with `nonce`.
    function _authorize(uint256 key, address to, uint256 amount, bytes32 nonce)
        internal
        view
        returns (Authorization memory)
    {
        bytes32 what = keccak256(abi.encode(RECEIVE, vm.addr(key), to, amount, 0, type(uint256).max, nonce));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), what));
        return Authorization(0, type(uint256).max, _sign(key, digest));
    }

    function _shares(address a, uint32 ppmA, address b, uint32 ppmB) internal pure returns (Split.Share[] memory two) {
        two = new Split.Share[](2);
        two[0] = a < b ? Split.Share(a, ppmA) : Split.Share(b, ppmB);
        two[1] = a < b ? Split.Share(b, ppmB) : Split.Share(a, ppmA);
    }

    function _setShares(bytes32 key, Split.Share[] memory shares) internal {
        vm.prank(owner);
        split.setShares(key, shares);
    }

    /// @dev The refusal of who is not the owner.
    function _notOwner(address caller) internal view returns (bytes memory) {
        return abi.encodeWithSelector(Owned.NotOwner.selector, caller, owner);
    }
}
